-- schedule_failures_set
UPDATE host_schedules SET failures = ? WHERE id = ?
