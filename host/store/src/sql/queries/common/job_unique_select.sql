-- job_unique_select
SELECT host_jobs.id, host_jobs.task_id, host_jobs.unique_key FROM host_jobs JOIN ?table(task_id t, unique_key t)
ON host_jobs.unique_key = v.unique_key AND host_jobs.task_id = v.task_id
