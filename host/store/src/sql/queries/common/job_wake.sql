-- job_wake
UPDATE host_jobs
SET partition_key = COALESCE((SELECT t.id FROM host_tasks AS t WHERE t.id = host_jobs.task_id AND t.max_running IS NOT NULL), ''),
    run_at = NULL
WHERE id IN (?*)
