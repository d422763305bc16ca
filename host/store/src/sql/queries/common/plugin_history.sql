-- plugin_history
SELECT name, digest, size_bytes, details, registered_at FROM plugin_versions WHERE name = ? ORDER BY registered_at DESC, digest
