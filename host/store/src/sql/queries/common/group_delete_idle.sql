-- group_delete_idle
-- Those of concurrency keys that no job has any more.
DELETE FROM host_groups WHERE concurrency_key <> '' AND taken = 0 AND NOT EXISTS (
    SELECT 1 FROM host_jobs WHERE host_jobs.task_id = host_groups.task_id AND host_jobs.concurrency_key = host_groups.concurrency_key AND host_jobs.key_place IS NOT NULL)
