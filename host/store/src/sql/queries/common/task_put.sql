-- task_put
INSERT INTO host_tasks (id, plugin_name, function_name, offered, description, args_schema, result_schema, example_args, configured, declared, defaults, max_running, max_running_per_key)
?rows(t t t i t t t t t t t i i)
ON CONFLICT (id) DO UPDATE SET
    plugin_name = excluded.plugin_name,
    function_name = excluded.function_name,
    offered = excluded.offered,
    description = excluded.description,
    args_schema = excluded.args_schema,
    result_schema = excluded.result_schema,
    example_args = excluded.example_args,
    configured = excluded.configured,
    declared = excluded.declared,
    defaults = excluded.defaults,
    max_running = excluded.max_running,
    max_running_per_key = excluded.max_running_per_key
