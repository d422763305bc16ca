-- schedule_fire
UPDATE host_schedules JOIN ?table(id t, trigger_state t, next_fire_time i, last_fire_time i, paused i, pause_reason t, run_at i, lease_until i, overruns_since i, fires i, fire_count i) ON host_schedules.id = v.id
SET host_schedules.trigger_state = v.trigger_state, host_schedules.next_fire_time = v.next_fire_time,
    host_schedules.last_fire_time = COALESCE(v.last_fire_time, host_schedules.last_fire_time), host_schedules.paused = v.paused,
    host_schedules.pause_reason = v.pause_reason, host_schedules.run_at = v.run_at,
    host_schedules.lease_holder = CASE WHEN v.lease_until IS NOT NULL THEN host_schedules.lease_holder END,
    host_schedules.lease_token = CASE WHEN v.lease_until IS NOT NULL THEN host_schedules.lease_token END,
    host_schedules.lease_until = v.lease_until, host_schedules.overruns_since = v.overruns_since, host_schedules.fires = v.fires,
    host_schedules.fire_count = v.fire_count
