-- plugin_bytes_has
SELECT COUNT(*) FROM host_plugin_bytes WHERE digest = ?
