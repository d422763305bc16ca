-- job_cancel_ask
UPDATE jobs SET cancel_requested = 1 WHERE id = ?
