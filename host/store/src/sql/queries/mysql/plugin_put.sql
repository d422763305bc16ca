-- plugin_put
INSERT INTO host_plugin_versions (name, digest, size_bytes, details, registered_at, is_current)
?rows(t b i t i i)
ON DUPLICATE KEY UPDATE
    size_bytes = VALUES(size_bytes),
    details = VALUES(details),
    registered_at = VALUES(registered_at),
    is_current = VALUES(is_current)
