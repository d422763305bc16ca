-- schedule_list_task
-- Told which index: the planner would else walk through all schedules by id, hoping for many of this task.
SELECT id, life, task_id, trigger_json, trigger_state, args_encoding, args, coalesce_policy, max_jitter, settings, paused,
    pause_reason, next_fire_time, last_fire_time, created_at, overruns_since, fire_count, failures
FROM host_schedules FORCE INDEX (host_schedules_task) WHERE task_id = ? AND id > ? ORDER BY id LIMIT ?
