-- job_requeue
-- A job that has given its only attempt back is bound to no version of its plugin, unless that attempt had begun.
UPDATE host_jobs
SET state = 'queued', due_at = v.due_at, attempt = v.attempt, crashes = v.crashes, cancel_requested = 0, cancel_grace = NULL,
    outcome = NULL, finished_at = NULL, expires_at = NULL, result_encoding = NULL, result = NULL,
    started_at = v.started_at, error = COALESCE(v.error, host_jobs.error), resource_usage = COALESCE(v.resource_usage, host_jobs.resource_usage),
    plugin_digest = CASE WHEN v.attempt = 0 THEN v.plugin_digest ELSE COALESCE(v.plugin_digest, host_jobs.plugin_digest) END, progress = COALESCE(v.progress, host_jobs.progress),
    ready_key = CASE WHEN v.run_at IS NULL AND v.key_place IS NULL AND v.task_place IS NULL THEN host_jobs.claim_key END,
    key_place = v.key_place, task_place = v.task_place,
    run_at = v.run_at,
    deadline = CASE WHEN v.keeps_deadline = 1 AND v.attempt = 0 THEN host_jobs.start_deadline END,
    start_deadline = CASE WHEN v.keeps_deadline = 1 THEN host_jobs.start_deadline END,
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
FROM ?table(id b, due_at i, run_at i, key_place i, task_place i, attempt i, crashes i, keeps_deadline i, started_at i, error t, resource_usage t, plugin_digest b, progress t)
WHERE host_jobs.id = v.id
