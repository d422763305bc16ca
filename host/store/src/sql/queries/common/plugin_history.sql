-- plugin_history
SELECT name, digest, size_bytes, details, registered_at FROM host_plugin_versions WHERE name = ? ORDER BY registered_at DESC, digest
