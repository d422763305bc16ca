-- job_log_line_delete
DELETE FROM job_logs WHERE job_id = ? AND attempt = ? AND sequence = ?
