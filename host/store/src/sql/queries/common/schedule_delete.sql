-- schedule_delete
DELETE FROM host_schedules WHERE id IN (?*)
