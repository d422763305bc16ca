-- job_version_set
UPDATE host_jobs SET plugin_digest = ? WHERE plugin_digest IS NULL AND id IN (?*)
