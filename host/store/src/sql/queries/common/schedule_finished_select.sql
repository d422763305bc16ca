-- schedule_finished_select
SELECT id, task_id FROM schedules
WHERE next_fire_time IS NULL AND paused = 0 AND lease_holder IS NULL
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.schedule_id = schedules.id)
ORDER BY id LIMIT ? /*claim*/
