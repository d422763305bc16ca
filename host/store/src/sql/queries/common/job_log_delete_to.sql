-- job_log_delete_to
-- The lines of a job up to a place.
DELETE FROM host_job_logs WHERE job_id = ? AND (attempt < ? OR (attempt = ? AND sequence <= ?))
