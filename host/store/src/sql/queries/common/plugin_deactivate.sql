-- plugin_deactivate
UPDATE host_plugin_versions SET is_current = 0 WHERE name = ?
