-- job_log_select
SELECT l.job_id, l.attempt, l.sequence, l.at, l.level, l.target, l.message, l.fields FROM host_job_logs AS l
JOIN ?table(job_id b, attempt i, sequence i) ON l.job_id = v.job_id AND l.attempt = v.attempt AND l.sequence = v.sequence
