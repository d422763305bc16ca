-- plugin_select
SELECT is_current, name, digest, size_bytes, details, registered_at FROM plugin_versions WHERE name IN (?*)
