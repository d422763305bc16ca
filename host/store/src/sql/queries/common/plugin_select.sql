-- plugin_select
SELECT is_current, rollout, name, digest, size_bytes, details, registered_at FROM host_plugin_versions WHERE name IN (?*)
