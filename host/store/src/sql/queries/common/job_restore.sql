-- job_restore
INSERT INTO host_jobs (id, task_id, schedule_id, schedule_life, scheduled_fire_time, jitter, args_encoding, args, settings, sort_key, result_ttl, due_at,
    start_deadline, created_at, state, ready_key, run_at, deadline, attempt, crashes, cancel_requested, cancel_grace, lease_holder, lease_token,
    lease_until, scheduler_id, plugin_digest, started_at, progress, outcome, finished_at, result_encoding, result, error, resource_usage,
    expires_at, claim_key, concurrency_key, key_place, task_place,
    unique_key, unique_until, job_group)
?rows(b t t i i i t b t i i i i i t t i i i i i i t b i t b i t t i t b t t i t t i i t i t)
