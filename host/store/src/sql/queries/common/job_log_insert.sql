-- job_log_insert
INSERT INTO host_job_logs (job_id, attempt, sequence, at, level, target, message, fields)
?rows(b i i i t t t t)
ON CONFLICT DO NOTHING
