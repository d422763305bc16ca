-- job_task_candidates
/*each*/ SELECT * FROM (SELECT sort_key, id FROM host_jobs FORCE INDEX (host_jobs_ready_tasks) WHERE ready_key = ? AND task_id = ? ORDER BY sort_key, id LIMIT 1) AS candidates
