-- schedule_due_select
SELECT id FROM host_schedules WHERE run_at <= ? ORDER BY run_at, id LIMIT ? /*claim*/
