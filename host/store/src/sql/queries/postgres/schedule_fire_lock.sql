-- schedule_fire_lock
-- The last column: the youngest job of the schedule that has not ended. Said so that only the index has the order: the planner would else
-- walk through all jobs of a schedule, hoping for many that have not ended.
SELECT id, lease_token, next_fire_time, fires, overruns_since, fire_count, (
    SELECT host_jobs.id FROM host_jobs
    WHERE host_jobs.schedule_id >= host_schedules.id AND host_jobs.schedule_id <= host_schedules.id AND host_jobs.outcome IS NULL
    ORDER BY host_jobs.schedule_id DESC, host_jobs.outcome DESC, host_jobs.id DESC LIMIT 1) AS unfinished
FROM host_schedules WHERE id IN (?*) ORDER BY id FOR UPDATE
