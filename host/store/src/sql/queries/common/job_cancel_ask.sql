-- job_cancel_ask
UPDATE host_jobs SET cancel_requested = 1 WHERE id = ?
