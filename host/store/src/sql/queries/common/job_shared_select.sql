-- job_shared_select
-- With whether the task has a limit, so that the job is in the wrong lane: it was queued while its task was being given one.
SELECT id, place, task_id, CASE WHEN (SELECT max_running FROM tasks WHERE tasks.id = jobs.task_id) IS NULL THEN 0 ELSE 1 END
FROM jobs WHERE lane = '' ORDER BY place, id LIMIT ? /*claim*/
