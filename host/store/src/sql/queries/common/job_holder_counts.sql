-- job_holder_counts
SELECT lease_holder, COUNT(*) FROM host_jobs WHERE state = 'running' AND lease_holder IN (?*) GROUP BY lease_holder
