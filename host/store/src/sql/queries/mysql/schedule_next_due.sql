-- schedule_next_due
-- Without a condition this is one look at the end of the index; a condition makes it a walk through all of it.
SELECT MIN(run_at) FROM host_schedules
