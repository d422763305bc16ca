-- schedule_fire
UPDATE schedules
SET trigger_state = v.trigger_state, next_fire_time = v.next_fire_time,
    last_fire_time = COALESCE(v.last_fire_time, schedules.last_fire_time), paused = v.paused,
    pause_reason = v.pause_reason, wakes_at = v.wakes_at, lease_holder = NULL, lease_token = NULL, lease_until = NULL
FROM ?table(id t, trigger_state t, next_fire_time i, last_fire_time i, paused i, pause_reason t, wakes_at i)
WHERE schedules.id = v.id
