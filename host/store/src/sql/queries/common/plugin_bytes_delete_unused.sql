-- plugin_bytes_delete_unused
DELETE FROM host_plugin_bytes WHERE digest NOT IN (SELECT digest FROM host_plugin_versions)
