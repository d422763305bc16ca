-- job_log_line_delete
DELETE FROM host_job_logs WHERE job_id = ? AND attempt = ? AND sequence = ?
