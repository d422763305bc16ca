-- schedule_head_select
SELECT id, lease_token, paused, next_fire_time FROM schedules WHERE id IN (?*) ORDER BY id /*lock*/
