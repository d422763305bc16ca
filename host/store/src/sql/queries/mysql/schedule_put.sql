-- schedule_put
INSERT INTO host_schedules (id, life, task_id, trigger_json, trigger_state, args_encoding, args, coalesce_policy, max_jitter, settings, paused, pause_reason, next_fire_time, last_fire_time, created_at, run_at, overruns_since, fire_count, failures)
?rows(t i t t t t b t i t i t i i i i i i i)
ON DUPLICATE KEY UPDATE
    life = VALUES(life),
    task_id = VALUES(task_id),
    trigger_json = VALUES(trigger_json),
    trigger_state = VALUES(trigger_state),
    args_encoding = VALUES(args_encoding),
    args = VALUES(args),
    coalesce_policy = VALUES(coalesce_policy),
    max_jitter = VALUES(max_jitter),
    settings = VALUES(settings),
    paused = VALUES(paused),
    pause_reason = VALUES(pause_reason),
    next_fire_time = VALUES(next_fire_time),
    run_at = VALUES(run_at),
    overruns_since = VALUES(overruns_since),
    fire_count = VALUES(fire_count),
    failures = VALUES(failures),
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
