-- job_fire_select
SELECT jobs.id, jobs.schedule_id, jobs.scheduled_fire_time FROM jobs JOIN ?table(schedule_id t, at i)
ON jobs.schedule_id = v.schedule_id AND jobs.scheduled_fire_time = v.at
