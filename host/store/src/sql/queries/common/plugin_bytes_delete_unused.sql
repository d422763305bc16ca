-- plugin_bytes_delete_unused
DELETE FROM plugin_bytes WHERE digest NOT IN (SELECT digest FROM plugin_versions)
