-- job_log_page
-- The first condition says nothing new: it is what MySQL uses the key for.
SELECT job_id, attempt, sequence, at, level, target, message, fields FROM host_job_logs
WHERE job_id >= ? AND (job_id, attempt, sequence) > (?, ?, ?) ORDER BY job_id, attempt, sequence LIMIT ?
