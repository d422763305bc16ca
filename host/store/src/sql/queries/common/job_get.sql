-- job_get
SELECT id, task_id, schedule_id, schedule_life, scheduled_fire_time, jitter, args_encoding, args, settings, due_at, start_deadline, created_at,
    state, attempt, crashes, cancel_requested, cancel_grace, lease_holder, lease_token, lease_until, scheduler_id, plugin_digest, started_at,
    progress, outcome, finished_at, result_encoding, result, error, resource_usage, expires_at
FROM host_jobs WHERE id = ?
