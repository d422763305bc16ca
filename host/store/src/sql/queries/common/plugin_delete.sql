-- plugin_delete
DELETE FROM host_plugin_versions WHERE name = ?
