-- plugin_put
INSERT INTO host_plugin_versions (name, digest, size_bytes, details, registered_at, is_current)
?rows(t b i t i i)
ON CONFLICT (name, digest) DO UPDATE SET
    size_bytes = excluded.size_bytes,
    details = excluded.details,
    registered_at = excluded.registered_at,
    is_current = excluded.is_current
