-- job_progress
UPDATE host_jobs
SET progress = v.progress
FROM ?table(id b, progress t)
WHERE host_jobs.id = v.id
