-- job_known
SELECT id FROM host_jobs WHERE id IN (?*)
