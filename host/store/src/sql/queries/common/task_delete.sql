-- task_delete
DELETE FROM host_tasks WHERE id IN (?*)
