-- job_requeue
UPDATE jobs
SET state = 'queued', due_at = v.due_at, attempt = v.attempt, crashes = v.crashes, cancel_requested = 0,
    outcome = NULL, finished_at = NULL, expires_at = NULL, result_encoding = NULL, result = NULL,
    started_at = v.started_at, error = COALESCE(v.error, jobs.error), cost = COALESCE(v.cost, jobs.cost),
    plugin_digest = COALESCE(v.plugin_digest, jobs.plugin_digest), progress = COALESCE(v.progress, jobs.progress),
    lane = CASE WHEN v.is_due = 1 THEN COALESCE((SELECT t.id FROM tasks AS t WHERE t.id = jobs.task_id AND t.max_running IS NOT NULL), '') END,
    wakes_at = CASE WHEN v.is_due = 0 THEN v.due_at END,
    deadline = CASE WHEN v.keeps_deadline = 1 AND v.attempt = 0 THEN jobs.start_deadline END,
    start_deadline = CASE WHEN v.keeps_deadline = 1 THEN jobs.start_deadline END,
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
FROM ?table(id b, due_at i, is_due i, attempt i, crashes i, keeps_deadline i, started_at i, error t, cost t, plugin_digest b, progress t)
WHERE jobs.id = v.id
