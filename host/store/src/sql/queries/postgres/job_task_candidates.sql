-- job_task_candidates
SELECT candidates.sort_key, candidates.id
FROM ?table(ready_key t, task_id t)
CROSS JOIN LATERAL (
    SELECT sort_key, id FROM host_jobs WHERE host_jobs.ready_key = v.ready_key AND host_jobs.task_id = v.task_id ORDER BY sort_key, id LIMIT 1
) AS candidates
