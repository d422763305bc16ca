-- group_of_jobs
-- The concurrency keys of a task's jobs that wait for a place or have one, and how many have one; a null key for places of the task.
SELECT concurrency_key, COUNT(CASE WHEN key_place = 1 THEN 1 END) FROM host_jobs WHERE task_id = ? AND key_place IS NOT NULL GROUP BY concurrency_key
UNION ALL SELECT NULL, COUNT(CASE WHEN task_place = 1 THEN 1 END) FROM host_jobs WHERE task_id = ? AND task_place IS NOT NULL
