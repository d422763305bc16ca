-- job_leases
SELECT id, lease_token, cancel_requested FROM host_jobs WHERE id IN (?*) AND state = 'running'
