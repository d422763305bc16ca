-- job_log_key_list
SELECT job_id, attempt, sequence FROM host_job_logs WHERE job_id IN (?*) ORDER BY job_id, attempt, sequence LIMIT ?
