-- group_limit
UPDATE host_groups SET max_running = ? WHERE task_id = ? AND (CASE WHEN concurrency_key = '' THEN 1 ELSE 0 END) = ?
