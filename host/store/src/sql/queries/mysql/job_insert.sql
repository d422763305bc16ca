-- job_insert
INSERT INTO jobs (id, task_id, schedule_id, scheduled_fire_time, jitter, args_encoding, args, settings, place, result_ttl, due_at,
    start_deadline, created_at, lane, wakes_at, deadline)
?rows(b t t i i t b t i i i i i t i i)
ON DUPLICATE KEY UPDATE id = jobs.id
