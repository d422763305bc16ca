-- schedule_free
UPDATE host_schedules SET run_at = next_fire_time, lease_holder = NULL, lease_token = NULL, lease_until = NULL
WHERE lease_holder IS NOT NULL AND (lease_until <= ? OR lease_holder = ?)
