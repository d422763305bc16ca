-- schedule_due_select
SELECT id FROM schedules WHERE wakes_at <= ? ORDER BY wakes_at, id LIMIT ? /*claim*/
