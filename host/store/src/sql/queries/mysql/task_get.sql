-- task_get
-- Told which index, as in job_running_counts.
SELECT id, plugin_name, function_name, description, args_schema, result_schema, example_args, configured, declared, defaults,
    (SELECT COUNT(*) FROM host_jobs FORCE INDEX (host_jobs_running) WHERE host_jobs.state = 'running' AND host_jobs.task_id = host_tasks.id)
FROM host_tasks WHERE id = ?
