-- schedule_next_due
SELECT MIN(wakes_at) FROM schedules WHERE wakes_at IS NOT NULL
