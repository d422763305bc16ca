-- job_known
SELECT id FROM jobs WHERE id IN (?*)
