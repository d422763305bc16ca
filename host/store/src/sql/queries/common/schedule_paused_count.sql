-- schedule_paused_count
-- There is no index for it.
SELECT COUNT(*) FROM host_schedules WHERE run_at IS NULL AND paused = 1
