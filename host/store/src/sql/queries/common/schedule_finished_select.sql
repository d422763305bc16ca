-- schedule_finished_select
SELECT id, fires FROM host_schedules
WHERE next_fire_time IS NULL AND paused = 0 AND lease_holder IS NULL
    AND NOT EXISTS (SELECT 1 FROM host_jobs WHERE host_jobs.schedule_id = host_schedules.id)
ORDER BY id LIMIT ? /*claim*/
