-- job_cancel_asked
SELECT id, lease_token, cancel_requested, cancel_grace FROM host_jobs WHERE id IN (?*) AND state = 'running' AND cancel_requested = 1
