-- job_delete
DELETE FROM host_jobs WHERE id IN (?*)
