-- job_progress
UPDATE jobs
SET progress = v.progress
FROM ?table(id b, progress t)
WHERE jobs.id = v.id
