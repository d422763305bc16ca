-- task_first
SELECT candidates.* FROM ?table(task_id t, quota i)
CROSS JOIN LATERAL (
    SELECT host_jobs.task_id, '' AS concurrency_key, host_jobs.sort_key, host_jobs.id FROM host_jobs
    WHERE host_jobs.task_id = v.task_id AND task_place = 0 ORDER BY sort_key, id LIMIT v.quota
) AS candidates
