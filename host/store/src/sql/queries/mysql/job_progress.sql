-- job_progress
UPDATE jobs JOIN ?table(id b, progress t) ON jobs.id = v.id
SET jobs.progress = v.progress
