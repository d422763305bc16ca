-- plugin_deactivate
UPDATE plugin_versions SET is_current = 0 WHERE name = ?
