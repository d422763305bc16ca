-- rollout_get
SELECT rollout FROM host_plugin_versions WHERE name = ? AND rollout IS NOT NULL
