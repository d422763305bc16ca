-- job_version_clear
UPDATE host_jobs SET plugin_digest = NULL WHERE id = ?
