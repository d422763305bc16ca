-- group_list_task
SELECT concurrency_key FROM host_groups WHERE task_id = ? ORDER BY concurrency_key
