-- job_ready_candidates
SELECT candidates.ready_key, candidates.sort_key, candidates.id
FROM ?table(ready_key t, quota i)
CROSS JOIN LATERAL (SELECT ready_key, sort_key, id FROM host_jobs WHERE host_jobs.ready_key = v.ready_key ORDER BY sort_key, id LIMIT v.quota) AS candidates
