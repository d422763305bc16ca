-- schedule_insert
INSERT INTO host_schedules (id, life, task_id, trigger_json, trigger_state, args_encoding, args, coalesce_policy, max_jitter, settings, paused,
    pause_reason, next_fire_time, last_fire_time, created_at, run_at, overruns_since, fire_count, failures)
?rows(t i t t t t b t i t i t i i i i i i i)
ON CONFLICT DO NOTHING
