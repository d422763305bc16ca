-- task_select
SELECT id, plugin_name, function_name, description, args_schema, result_schema, example_args, configured, declared, defaults
FROM host_tasks WHERE id IN (?*)
