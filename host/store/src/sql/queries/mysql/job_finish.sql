-- job_finish
-- The token of a lease is gone as soon as it is not held any more.
UPDATE jobs JOIN ?table(id b, token b, outcome t, finished_at i, expires_at i, result_encoding t, result b, error t, cost t, plugin_digest b, started_at i, progress t) ON jobs.id = v.id AND jobs.lease_token = v.token
SET jobs.state = 'finished', jobs.outcome = v.outcome, jobs.finished_at = v.finished_at, jobs.expires_at = v.expires_at,
    jobs.result_encoding = v.result_encoding, jobs.result = v.result, jobs.error = v.error,
    jobs.cost = COALESCE(v.cost, jobs.cost), jobs.plugin_digest = COALESCE(v.plugin_digest, jobs.plugin_digest),
    jobs.started_at = COALESCE(v.started_at, jobs.started_at), jobs.progress = COALESCE(v.progress, jobs.progress),
    jobs.lane = NULL, jobs.wakes_at = NULL, jobs.deadline = NULL,
    jobs.lease_holder = NULL, jobs.lease_token = NULL, jobs.lease_until = NULL
