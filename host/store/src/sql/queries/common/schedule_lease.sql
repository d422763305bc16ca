-- schedule_lease
UPDATE host_schedules
SET lease_holder = ?, lease_token = ?, lease_until = ?,
    run_at = CASE WHEN next_fire_time > ? THEN next_fire_time ELSE ? END
WHERE id IN (?*)
