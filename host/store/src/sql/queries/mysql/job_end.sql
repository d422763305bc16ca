-- job_end
UPDATE host_jobs JOIN ?table(id b, outcome t, finished_at i, expires_at i, error t, crashes i) ON host_jobs.id = v.id
SET host_jobs.state = 'finished', host_jobs.outcome = v.outcome, host_jobs.finished_at = v.finished_at, host_jobs.expires_at = v.expires_at,
    host_jobs.error = COALESCE(v.error, host_jobs.error), host_jobs.crashes = COALESCE(v.crashes, host_jobs.crashes),
    host_jobs.ready_key = NULL, host_jobs.key_place = NULL, host_jobs.task_place = NULL, host_jobs.run_at = NULL, host_jobs.deadline = NULL,
    host_jobs.lease_holder = NULL, host_jobs.lease_token = NULL, host_jobs.lease_until = NULL
