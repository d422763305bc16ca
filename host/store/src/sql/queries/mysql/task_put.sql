-- task_put
INSERT INTO host_tasks (id, plugin_name, function_name, offered, description, args_schema, result_schema, example_args, configured, declared, defaults, max_running, max_running_per_key)
?rows(t t t i t t t t t t t i i)
ON DUPLICATE KEY UPDATE
    plugin_name = VALUES(plugin_name),
    function_name = VALUES(function_name),
    offered = VALUES(offered),
    description = VALUES(description),
    args_schema = VALUES(args_schema),
    result_schema = VALUES(result_schema),
    example_args = VALUES(example_args),
    configured = VALUES(configured),
    declared = VALUES(declared),
    defaults = VALUES(defaults),
    max_running = VALUES(max_running),
    max_running_per_key = VALUES(max_running_per_key)
