-- plugin_bytes_has
SELECT COUNT(*) FROM plugin_bytes WHERE digest = ?
