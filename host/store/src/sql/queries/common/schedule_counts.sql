-- schedule_counts
-- Those that have another fire time, those that are paused or have none, and the paused ones: by indexes alone.
SELECT (SELECT COUNT(*) FROM host_schedules WHERE run_at IS NOT NULL),
    (SELECT COUNT(*) FROM host_schedules WHERE run_at IS NULL),
    (SELECT COUNT(*) FROM host_schedules WHERE run_at IS NULL AND paused = 1)
