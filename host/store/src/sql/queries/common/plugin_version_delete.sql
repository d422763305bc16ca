-- plugin_version_delete
DELETE FROM host_plugin_versions WHERE name = ? AND is_current = 0 AND digest IN (?*)
