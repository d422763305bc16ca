-- schedule_finish
UPDATE host_schedules SET next_fire_time = NULL, run_at = NULL, lease_holder = NULL, lease_token = NULL, lease_until = NULL
WHERE id = ?
