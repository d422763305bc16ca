-- job_lock_free
-- Passes over jobs that somebody else is changing.
SELECT id, lease_token, cancel_requested, cancel_grace FROM host_jobs WHERE id IN (?*) AND state = 'running' ORDER BY id /*claim*/
