-- job_list_unfinished
-- Told which index: the planner would else walk through all jobs by id, hoping for many that are not finished.
SELECT id, task_id, schedule_id, schedule_life, scheduled_fire_time, jitter, args_encoding, args, settings, due_at, start_deadline, created_at,
    state, attempt, crashes, cancel_requested, cancel_grace, lease_holder, lease_token, lease_until, scheduler_id, plugin_digest, started_at,
    progress, outcome, finished_at, result_encoding, result, error, resource_usage, expires_at
FROM host_jobs FORCE INDEX (host_jobs_outcome) WHERE outcome IS NULL AND id < ?
AND (? IS NULL OR state = ?) AND (? IS NULL OR outcome = ?) AND (? IS NULL OR task_id = ?) AND (? IS NULL OR schedule_id = ?)
AND (? IS NULL OR job_group = ?)
ORDER BY id DESC LIMIT ?
