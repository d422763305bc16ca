-- job_ready_tasks
-- The tasks with jobs that may be claimed by a key. The server goes from one to the next.
SELECT task_id FROM host_jobs FORCE INDEX (host_jobs_ready_tasks) WHERE ready_key IN (?, ?) GROUP BY ready_key, task_id LIMIT ?
