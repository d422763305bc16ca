-- job_log_list
SELECT attempt, sequence, at, level, target, message, fields FROM host_job_logs
WHERE job_id = ? AND (attempt > ? OR (attempt = ? AND sequence > ?)) AND attempt <= 4294967295 AND sequence <= 4294967295
ORDER BY attempt, sequence LIMIT ?
