-- schedule_delete
DELETE FROM schedules WHERE id IN (?*)
