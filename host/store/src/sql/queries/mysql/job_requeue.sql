-- job_requeue
UPDATE jobs JOIN ?table(id b, due_at i, is_due i, attempt i, crashes i, keeps_deadline i, started_at i, error t, cost t, plugin_digest b, progress t) ON jobs.id = v.id
SET jobs.state = 'queued', jobs.due_at = v.due_at, jobs.attempt = v.attempt, jobs.crashes = v.crashes, jobs.cancel_requested = 0,
    jobs.outcome = NULL, jobs.finished_at = NULL, jobs.expires_at = NULL, jobs.result_encoding = NULL, jobs.result = NULL,
    jobs.started_at = v.started_at, jobs.error = COALESCE(v.error, jobs.error), jobs.cost = COALESCE(v.cost, jobs.cost),
    jobs.plugin_digest = COALESCE(v.plugin_digest, jobs.plugin_digest), jobs.progress = COALESCE(v.progress, jobs.progress),
    jobs.lane = CASE WHEN v.is_due = 1 THEN COALESCE((SELECT t.id FROM tasks AS t WHERE t.id = jobs.task_id AND t.max_running IS NOT NULL), '') END,
    jobs.wakes_at = CASE WHEN v.is_due = 0 THEN v.due_at END,
    jobs.deadline = CASE WHEN v.keeps_deadline = 1 AND v.attempt = 0 THEN jobs.start_deadline END,
    jobs.start_deadline = CASE WHEN v.keeps_deadline = 1 THEN jobs.start_deadline END,
    jobs.lease_holder = NULL, jobs.lease_token = NULL, jobs.lease_until = NULL
