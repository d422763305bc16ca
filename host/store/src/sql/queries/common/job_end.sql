-- job_end
UPDATE host_jobs
SET state = 'finished', outcome = v.outcome, finished_at = v.finished_at, expires_at = v.expires_at,
    error = COALESCE(v.error, host_jobs.error), crashes = COALESCE(v.crashes, host_jobs.crashes),
    ready_key = NULL, key_place = NULL, task_place = NULL, run_at = NULL, deadline = NULL,
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
FROM ?table(id b, outcome t, finished_at i, expires_at i, error t, crashes i)
WHERE host_jobs.id = v.id
