-- job_limited_tasks
SELECT id FROM host_tasks WHERE max_running IS NOT NULL AND id IN (?*)
