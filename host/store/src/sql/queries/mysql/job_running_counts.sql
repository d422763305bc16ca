-- job_running_counts
-- Told which index: it would else intersect two, of which one holds every job that there ever was.
SELECT task_id, COUNT(*) FROM host_jobs FORCE INDEX (host_jobs_running) WHERE state = 'running' AND task_id IN (?*) GROUP BY task_id
