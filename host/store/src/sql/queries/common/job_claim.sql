-- job_claim
-- Answers the jobs as job_claimed does, in no order. What is ready is asked in a way that no index is of use for.
UPDATE host_jobs
SET state = 'running', ready_key = NULL, deadline = NULL, attempt = attempt + 1, progress = NULL,
    lease_holder = ?, lease_token = ?, lease_until = ?, scheduler_id = ?, started_at = ?
WHERE id IN (?*) AND COALESCE(ready_key, '') <> ''
RETURNING id, task_id, schedule_id, schedule_life, scheduled_fire_time, jitter, args_encoding, args, settings, due_at, start_deadline, created_at,
    state, attempt, crashes, cancel_requested, cancel_grace, lease_holder, lease_token, lease_until, scheduler_id, plugin_digest, started_at,
    progress, outcome, finished_at, result_encoding, result, error, resource_usage, expires_at
