-- job_requeue
UPDATE host_jobs
SET state = 'queued', due_at = v.due_at, attempt = v.attempt, crashes = v.crashes, cancel_requested = 0,
    outcome = NULL, finished_at = NULL, expires_at = NULL, result_encoding = NULL, result = NULL,
    started_at = v.started_at, error = COALESCE(v.error, host_jobs.error), resource_usage = COALESCE(v.resource_usage, host_jobs.resource_usage),
    plugin_digest = COALESCE(v.plugin_digest, host_jobs.plugin_digest), progress = COALESCE(v.progress, host_jobs.progress),
    partition_key = CASE WHEN v.run_at IS NULL THEN COALESCE((SELECT t.id FROM host_tasks AS t WHERE t.id = host_jobs.task_id AND t.max_running IS NOT NULL), '') END,
    run_at = v.run_at,
    deadline = CASE WHEN v.keeps_deadline = 1 AND v.attempt = 0 THEN host_jobs.start_deadline END,
    start_deadline = CASE WHEN v.keeps_deadline = 1 THEN host_jobs.start_deadline END,
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
FROM ?table(id b, due_at i, run_at i, attempt i, crashes i, keeps_deadline i, started_at i, error t, resource_usage t, plugin_digest b, progress t)
WHERE host_jobs.id = v.id
