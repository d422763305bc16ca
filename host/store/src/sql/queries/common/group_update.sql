-- group_update
UPDATE host_groups SET taken = v.taken
FROM ?table(task_id t, concurrency_key t, taken i)
WHERE host_groups.task_id = v.task_id AND host_groups.concurrency_key = v.concurrency_key
