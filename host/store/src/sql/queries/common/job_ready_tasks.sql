-- job_ready_tasks
-- The tasks with jobs that may be claimed by a key, each found from the one before it.
WITH RECURSIVE known(task_id) AS (
    SELECT MIN(task_id) FROM host_jobs WHERE ready_key = ?
    UNION ALL
    SELECT (SELECT MIN(host_jobs.task_id) FROM host_jobs WHERE host_jobs.ready_key = ? AND host_jobs.task_id > known.task_id)
    FROM known WHERE known.task_id IS NOT NULL
)
SELECT task_id FROM known WHERE task_id IS NOT NULL LIMIT ?
