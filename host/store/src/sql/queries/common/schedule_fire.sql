-- schedule_fire
UPDATE host_schedules
SET trigger_state = v.trigger_state, next_fire_time = v.next_fire_time,
    last_fire_time = COALESCE(v.last_fire_time, host_schedules.last_fire_time), paused = v.paused,
    pause_reason = v.pause_reason, run_at = v.run_at,
    lease_holder = CASE WHEN v.lease_until IS NOT NULL THEN host_schedules.lease_holder END,
    lease_token = CASE WHEN v.lease_until IS NOT NULL THEN host_schedules.lease_token END, lease_until = v.lease_until,
    overruns_since = v.overruns_since, fires = v.fires, fire_count = v.fire_count
FROM ?table(id t, trigger_state t, next_fire_time i, last_fire_time i, paused i, pause_reason t, run_at i, lease_until i, overruns_since i, fires i, fire_count i)
WHERE host_schedules.id = v.id
