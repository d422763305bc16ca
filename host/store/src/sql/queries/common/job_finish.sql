-- job_finish
-- The token of a lease is gone as soon as it is not held any more.
UPDATE jobs
SET state = 'finished', outcome = v.outcome, finished_at = v.finished_at, expires_at = v.expires_at,
    result_encoding = v.result_encoding, result = v.result, error = v.error,
    cost = COALESCE(v.cost, jobs.cost), plugin_digest = COALESCE(v.plugin_digest, jobs.plugin_digest),
    started_at = COALESCE(v.started_at, jobs.started_at), progress = COALESCE(v.progress, jobs.progress),
    lane = NULL, wakes_at = NULL, deadline = NULL,
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
FROM ?table(id b, token b, outcome t, finished_at i, expires_at i, result_encoding t, result b, error t, cost t, plugin_digest b, started_at i, progress t)
WHERE jobs.id = v.id AND jobs.lease_token = v.token
