-- schedule_put_off
UPDATE host_schedules JOIN ?table(id t, run_at i) ON host_schedules.id = v.id
SET host_schedules.run_at = v.run_at, host_schedules.lease_holder = NULL, host_schedules.lease_token = NULL,
    host_schedules.lease_until = NULL
