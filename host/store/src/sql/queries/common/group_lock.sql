-- group_lock
SELECT host_groups.task_id, host_groups.concurrency_key, host_groups.max_running, host_groups.taken
FROM ?table(task_id t, concurrency_key t)
JOIN host_groups ON host_groups.task_id = v.task_id AND host_groups.concurrency_key = v.concurrency_key
ORDER BY host_groups.task_id, host_groups.concurrency_key /*lock*/
