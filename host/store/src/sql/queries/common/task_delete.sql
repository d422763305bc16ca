-- task_delete
DELETE FROM tasks WHERE id IN (?*)
