-- job_expired_select
SELECT id FROM host_jobs
WHERE state = 'running' AND (lease_until <= ? OR lease_holder = ?) ORDER BY id LIMIT ? /*claim*/
