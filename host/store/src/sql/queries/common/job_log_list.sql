-- job_log_list
SELECT attempt, sequence, at, level, target, message, fields FROM host_job_logs
WHERE job_id = ? AND (attempt > ? OR (attempt = ? AND sequence > ?)) ORDER BY attempt, sequence LIMIT ?
