-- task_last
SELECT candidates.* FROM ?table(task_id t, quota i)
CROSS JOIN LATERAL (
    SELECT host_jobs.task_id, '' AS concurrency_key, host_jobs.sort_key, host_jobs.id FROM host_jobs
    WHERE host_jobs.task_id = v.task_id AND task_place = 1 AND state = 'queued' ORDER BY sort_key DESC, id DESC LIMIT v.quota
) AS candidates
