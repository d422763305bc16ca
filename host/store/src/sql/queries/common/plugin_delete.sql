-- plugin_delete
DELETE FROM plugin_versions WHERE name = ?
