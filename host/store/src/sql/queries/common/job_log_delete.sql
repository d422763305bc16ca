-- job_log_delete
DELETE FROM host_job_logs WHERE job_id IN (?*)
