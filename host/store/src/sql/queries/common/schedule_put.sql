-- schedule_put
INSERT INTO host_schedules (id, life, task_id, trigger_json, trigger_state, args_encoding, args, coalesce_policy, max_jitter, settings, paused, pause_reason, next_fire_time, last_fire_time, created_at, run_at, overruns_since, fire_count, failures)
?rows(t i t t t t b t i t i t i i i i i i i)
ON CONFLICT (id) DO UPDATE SET
    life = excluded.life,
    task_id = excluded.task_id,
    trigger_json = excluded.trigger_json,
    trigger_state = excluded.trigger_state,
    args_encoding = excluded.args_encoding,
    args = excluded.args,
    coalesce_policy = excluded.coalesce_policy,
    max_jitter = excluded.max_jitter,
    settings = excluded.settings,
    paused = excluded.paused,
    pause_reason = excluded.pause_reason,
    next_fire_time = excluded.next_fire_time,
    run_at = excluded.run_at,
    overruns_since = excluded.overruns_since,
    fire_count = excluded.fire_count,
    failures = excluded.failures,
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
