-- schedule_pause
UPDATE host_schedules SET paused = 1, pause_reason = ?, run_at = NULL, lease_holder = NULL, lease_token = NULL, lease_until = NULL
WHERE id = ? AND paused = 0
