-- schedule_fire_lock
-- The last column: the youngest job of the schedule that has not ended.
SELECT id, lease_token, next_fire_time, fires, overruns_since, fire_count, (
    SELECT host_jobs.id FROM host_jobs WHERE host_jobs.schedule_id = host_schedules.id AND host_jobs.outcome IS NULL ORDER BY host_jobs.id DESC LIMIT 1) AS unfinished
FROM host_schedules WHERE id IN (?*) ORDER BY id
