-- job_extend
UPDATE host_jobs SET lease_until = ? WHERE id IN (?*)
