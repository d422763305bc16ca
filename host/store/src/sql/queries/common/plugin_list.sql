-- plugin_list
SELECT name, digest, size_bytes, details, registered_at FROM host_plugin_versions WHERE is_current = 1 ORDER BY name
