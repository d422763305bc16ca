-- job_end
UPDATE jobs JOIN ?table(id b, outcome t, finished_at i, expires_at i, error t, crashes i) ON jobs.id = v.id
SET jobs.state = 'finished', jobs.outcome = v.outcome, jobs.finished_at = v.finished_at, jobs.expires_at = v.expires_at,
    jobs.error = COALESCE(v.error, jobs.error), jobs.crashes = COALESCE(v.crashes, jobs.crashes),
    jobs.lane = NULL, jobs.wakes_at = NULL, jobs.deadline = NULL,
    jobs.lease_holder = NULL, jobs.lease_token = NULL, jobs.lease_until = NULL
