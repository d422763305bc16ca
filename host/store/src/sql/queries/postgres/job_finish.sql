-- job_finish
-- The token of a lease is gone as soon as it is not held any more. Answers how many jobs that were, and then each that had a place; a
-- job whose places change at this moment is left as it is.
WITH done AS (UPDATE host_jobs
SET state = 'finished', outcome = v.outcome, finished_at = v.finished_at, expires_at = v.expires_at,
    result_encoding = v.result_encoding, result = v.result, error = v.error,
    resource_usage = COALESCE(v.resource_usage, host_jobs.resource_usage), plugin_digest = COALESCE(v.plugin_digest, host_jobs.plugin_digest),
    started_at = COALESCE(v.started_at, host_jobs.started_at), progress = COALESCE(v.progress, host_jobs.progress),
    ready_key = NULL, key_place = NULL, task_place = NULL, run_at = NULL, deadline = NULL,
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
FROM ?table(id b, token b, outcome t, finished_at i, expires_at i, result_encoding t, result b, error t, resource_usage t, plugin_digest b, started_at i, progress t)
JOIN host_jobs AS old ON old.id = v.id
WHERE host_jobs.id = v.id AND host_jobs.lease_token = v.token
    AND host_jobs.task_place IS NOT DISTINCT FROM old.task_place AND host_jobs.key_place IS NOT DISTINCT FROM old.key_place
RETURNING old.task_id, old.concurrency_key, old.key_place, old.task_place)
SELECT COUNT(*), NULL, NULL, NULL, NULL FROM done
UNION ALL SELECT 1, task_id, concurrency_key, key_place, task_place FROM done WHERE key_place = 1 OR task_place = 1
