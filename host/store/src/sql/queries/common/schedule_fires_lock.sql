-- schedule_fires_lock
SELECT fires, next_fire_time FROM host_schedules WHERE id = ? /*lock*/
