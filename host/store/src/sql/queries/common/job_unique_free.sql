-- job_unique_free
UPDATE host_jobs SET unique_key = NULL WHERE unique_key = ? AND task_id = ? AND unique_until <= ?
