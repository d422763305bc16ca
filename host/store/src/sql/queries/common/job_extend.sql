-- job_extend
UPDATE jobs SET lease_until = ? WHERE id IN (?*)
