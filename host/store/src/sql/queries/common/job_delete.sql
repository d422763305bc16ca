-- job_delete
DELETE FROM jobs WHERE id IN (?*)
