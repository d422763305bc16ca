-- job_shared_select
-- With whether the task has a limit, so that the job is in the wrong partition: it was queued while its task was being given one.
SELECT id, sort_key, task_id, CASE WHEN (SELECT max_running FROM host_tasks WHERE host_tasks.id = host_jobs.task_id) IS NULL THEN 0 ELSE 1 END
FROM host_jobs WHERE partition_key = '' ORDER BY sort_key, id LIMIT ? /*claim*/
