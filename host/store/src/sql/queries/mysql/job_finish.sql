-- job_finish
-- The token of a lease is gone as soon as it is not held any more.
UPDATE host_jobs JOIN ?table(id b, token b, outcome t, finished_at i, expires_at i, result_encoding t, result b, error t, resource_usage t, plugin_digest b, started_at i, progress t) ON host_jobs.id = v.id AND host_jobs.lease_token = v.token
SET host_jobs.state = 'finished', host_jobs.outcome = v.outcome, host_jobs.finished_at = v.finished_at, host_jobs.expires_at = v.expires_at,
    host_jobs.result_encoding = v.result_encoding, host_jobs.result = v.result, host_jobs.error = v.error,
    host_jobs.resource_usage = COALESCE(v.resource_usage, host_jobs.resource_usage), host_jobs.plugin_digest = COALESCE(v.plugin_digest, host_jobs.plugin_digest),
    host_jobs.started_at = COALESCE(v.started_at, host_jobs.started_at), host_jobs.progress = COALESCE(v.progress, host_jobs.progress),
    host_jobs.ready_key = NULL, host_jobs.key_place = NULL, host_jobs.task_place = NULL, host_jobs.run_at = NULL, host_jobs.deadline = NULL,
    host_jobs.lease_holder = NULL, host_jobs.lease_token = NULL, host_jobs.lease_until = NULL
