-- job_requeue
-- A job that has given its only attempt back is bound to no version of its plugin, unless that attempt had begun.
UPDATE host_jobs JOIN ?table(id b, due_at i, run_at i, key_place i, task_place i, attempt i, crashes i, keeps_deadline i, started_at i, error t, resource_usage t, plugin_digest b, progress t) ON host_jobs.id = v.id
SET host_jobs.state = 'queued', host_jobs.due_at = v.due_at, host_jobs.attempt = v.attempt, host_jobs.crashes = v.crashes, host_jobs.cancel_requested = 0, host_jobs.cancel_grace = NULL,
    host_jobs.outcome = NULL, host_jobs.finished_at = NULL, host_jobs.expires_at = NULL, host_jobs.result_encoding = NULL, host_jobs.result = NULL,
    host_jobs.started_at = v.started_at, host_jobs.error = COALESCE(v.error, host_jobs.error), host_jobs.resource_usage = COALESCE(v.resource_usage, host_jobs.resource_usage),
    host_jobs.plugin_digest = CASE WHEN v.attempt = 0 THEN v.plugin_digest ELSE COALESCE(v.plugin_digest, host_jobs.plugin_digest) END, host_jobs.progress = COALESCE(v.progress, host_jobs.progress),
    host_jobs.ready_key = CASE WHEN v.run_at IS NULL AND v.key_place IS NULL AND v.task_place IS NULL THEN host_jobs.claim_key END,
    host_jobs.key_place = v.key_place, host_jobs.task_place = v.task_place,
    host_jobs.run_at = v.run_at,
    host_jobs.deadline = CASE WHEN v.keeps_deadline = 1 AND v.attempt = 0 THEN host_jobs.start_deadline END,
    host_jobs.start_deadline = CASE WHEN v.keeps_deadline = 1 THEN host_jobs.start_deadline END,
    host_jobs.lease_holder = NULL, host_jobs.lease_token = NULL, host_jobs.lease_until = NULL
