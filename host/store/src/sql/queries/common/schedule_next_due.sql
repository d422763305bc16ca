-- schedule_next_due
SELECT MIN(run_at) FROM host_schedules WHERE run_at IS NOT NULL
