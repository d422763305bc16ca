-- schedule_select
SELECT id, life, task_id, trigger_json, trigger_state, args_encoding, args, coalesce_policy, max_jitter, settings, paused,
    pause_reason, next_fire_time, last_fire_time, created_at, overruns_since, fire_count, failures
FROM host_schedules WHERE id IN (?*)
