-- schedule_lease
UPDATE schedules
SET lease_holder = ?, lease_token = ?, lease_until = ?,
    wakes_at = CASE WHEN next_fire_time > ? THEN next_fire_time ELSE ? END
WHERE id IN (?*)
