-- schedule_list_task
-- Said so that only the index has the order: the planner would else walk through all schedules by id, hoping for many of this task.
SELECT id, life, task_id, trigger_json, trigger_state, args_encoding, args, coalesce_policy, max_jitter, settings, paused,
    pause_reason, next_fire_time, last_fire_time, created_at, overruns_since, fire_count, failures
FROM host_schedules WHERE (task_id, id) > (?, ?) AND task_id <= $1
ORDER BY task_id, id LIMIT ?
