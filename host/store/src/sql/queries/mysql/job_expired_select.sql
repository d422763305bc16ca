-- job_expired_select
-- Told which index: the order by id would else lead through every job there is.
SELECT id FROM host_jobs FORCE INDEX (host_jobs_running)
WHERE state = 'running' AND (lease_until <= ? OR lease_holder = ?) ORDER BY id LIMIT ? /*claim*/
