-- rollout_set
UPDATE host_plugin_versions SET rollout = ? WHERE name = ? AND digest = ?
