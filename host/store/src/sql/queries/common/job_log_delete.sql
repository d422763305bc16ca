-- job_log_delete
DELETE FROM job_logs WHERE job_id IN (?*)
