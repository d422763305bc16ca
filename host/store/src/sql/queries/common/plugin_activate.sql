-- plugin_activate
UPDATE host_plugin_versions SET is_current = 1 WHERE name = ? AND digest = ?
