-- job_progress
UPDATE host_jobs JOIN ?table(id b, progress t) ON host_jobs.id = v.id
SET host_jobs.progress = v.progress
