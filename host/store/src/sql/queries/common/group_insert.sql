-- group_insert
INSERT INTO host_groups (task_id, concurrency_key, max_running, taken)
?rows(t t i i)
ON CONFLICT DO NOTHING
