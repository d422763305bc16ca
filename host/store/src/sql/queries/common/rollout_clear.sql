-- rollout_clear
UPDATE host_plugin_versions SET rollout = NULL WHERE name = ? AND rollout IS NOT NULL
