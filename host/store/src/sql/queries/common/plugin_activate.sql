-- plugin_activate
UPDATE plugin_versions SET is_current = 1 WHERE name = ? AND digest = ?
