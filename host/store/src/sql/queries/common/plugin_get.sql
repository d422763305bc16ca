-- plugin_get
SELECT name, digest, size_bytes, details, registered_at FROM host_plugin_versions WHERE name = ? AND is_current = 1
