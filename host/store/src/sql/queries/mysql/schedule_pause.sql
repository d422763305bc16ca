-- schedule_pause
-- By its id, and not through the index of those that are paused.
UPDATE host_schedules FORCE INDEX (PRIMARY)
SET paused = 1, pause_reason = ?, run_at = NULL, lease_holder = NULL, lease_token = NULL, lease_until = NULL
WHERE id = ? AND paused = 0
