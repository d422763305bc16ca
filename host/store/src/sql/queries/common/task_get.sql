-- task_get
SELECT id, plugin_name, function_name, description, args_schema, result_schema, example_args, configured, declared, defaults,
    (SELECT COUNT(*) FROM jobs WHERE jobs.state = 'running' AND jobs.task_id = tasks.id)
FROM tasks WHERE id = ?
