-- schedule_end_lock
SELECT id, life, task_id, settings, failures, paused, next_fire_time, fires FROM host_schedules WHERE id IN (?*) ORDER BY id /*lock*/
