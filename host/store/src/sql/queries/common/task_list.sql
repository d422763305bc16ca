-- task_list
SELECT id, plugin_name, function_name, description, args_schema, result_schema, example_args, configured, declared, defaults,
    (SELECT COUNT(*) FROM host_jobs WHERE host_jobs.state = 'running' AND host_jobs.task_id = host_tasks.id)
FROM host_tasks ORDER BY id
