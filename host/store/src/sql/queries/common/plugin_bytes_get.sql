-- plugin_bytes_get
SELECT content FROM plugin_bytes WHERE digest = ? ORDER BY part
