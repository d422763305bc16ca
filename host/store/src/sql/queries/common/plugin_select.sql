-- plugin_select
SELECT is_current, name, digest, size_bytes, details, registered_at FROM host_plugin_versions WHERE name IN (?*)
