-- plugin_bytes_get
SELECT content FROM host_plugin_bytes WHERE digest = ? ORDER BY part
