-- schedule_pause
UPDATE schedules SET paused = 1, pause_reason = ?, wakes_at = NULL, lease_holder = NULL, lease_token = NULL, lease_until = NULL
WHERE id = ? AND paused = 0
