-- job_end
UPDATE jobs
SET state = 'finished', outcome = v.outcome, finished_at = v.finished_at, expires_at = v.expires_at,
    error = COALESCE(v.error, jobs.error), crashes = COALESCE(v.crashes, jobs.crashes),
    lane = NULL, wakes_at = NULL, deadline = NULL,
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
FROM ?table(id b, outcome t, finished_at i, expires_at i, error t, crashes i)
WHERE jobs.id = v.id
