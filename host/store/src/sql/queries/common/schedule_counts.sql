-- schedule_counts
-- All, and those that are paused or have no more fire times: by indexes alone.
SELECT COUNT(*), COUNT(*) - (SELECT COUNT(*) FROM host_schedules WHERE run_at IS NOT NULL) FROM host_schedules
