-- schedule_unpause
UPDATE host_schedules
SET paused = 0, pause_reason = NULL, failures = 0, trigger_state = COALESCE(?, trigger_state), next_fire_time = ?, run_at = ?,
    lease_holder = NULL, lease_token = NULL, lease_until = NULL
WHERE id = ?
