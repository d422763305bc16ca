-- schedule_lock
SELECT id, paused, next_fire_time FROM host_schedules WHERE id IN (?*) ORDER BY id /*lock*/
