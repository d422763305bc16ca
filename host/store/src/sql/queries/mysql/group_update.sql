-- group_update
UPDATE host_groups JOIN ?table(task_id t, concurrency_key t, taken i)
    ON host_groups.task_id = v.task_id AND host_groups.concurrency_key = v.concurrency_key
SET host_groups.taken = v.taken
