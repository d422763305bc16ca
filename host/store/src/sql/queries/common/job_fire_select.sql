-- job_fire_select
SELECT host_jobs.id, host_jobs.schedule_id, host_jobs.schedule_life, host_jobs.scheduled_fire_time FROM host_jobs JOIN ?table(schedule_id t, life i, at i)
ON host_jobs.schedule_id = v.schedule_id AND host_jobs.schedule_life = v.life AND host_jobs.scheduled_fire_time = v.at
