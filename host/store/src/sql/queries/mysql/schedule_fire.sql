-- schedule_fire
UPDATE schedules JOIN ?table(id t, trigger_state t, next_fire_time i, last_fire_time i, paused i, pause_reason t, wakes_at i) ON schedules.id = v.id
SET schedules.trigger_state = v.trigger_state, schedules.next_fire_time = v.next_fire_time,
    schedules.last_fire_time = COALESCE(v.last_fire_time, schedules.last_fire_time), schedules.paused = v.paused,
    schedules.pause_reason = v.pause_reason, schedules.wakes_at = v.wakes_at, schedules.lease_holder = NULL, schedules.lease_token = NULL, schedules.lease_until = NULL
