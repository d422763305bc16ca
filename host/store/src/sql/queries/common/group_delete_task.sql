-- group_delete_task
DELETE FROM host_groups WHERE task_id = ?
