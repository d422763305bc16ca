-- schedule_put_off
UPDATE host_schedules SET run_at = v.run_at, lease_holder = NULL, lease_token = NULL, lease_until = NULL
FROM ?table(id t, run_at i)
WHERE host_schedules.id = v.id
