-- job_insert
INSERT INTO host_jobs (id, task_id, schedule_id, schedule_life, scheduled_fire_time, jitter, args_encoding, args, settings, sort_key, result_ttl, due_at,
    start_deadline, created_at, ready_key, run_at, deadline, claim_key, concurrency_key, key_place, task_place,
    unique_key, unique_until, job_group)
?rows(b t t i i i t b t i i i i i t i i t t i i t i t)
ON CONFLICT DO NOTHING
