-- task_rules
-- Locked against a change of the task, so that no job is queued by rules that no longer hold.
SELECT id, plugin_name, function_name, max_running, max_running_per_key FROM host_tasks WHERE id IN (?*) ORDER BY id /*share*/
