-- job_next_due
SELECT MIN(wakes_at) FROM jobs WHERE wakes_at > ?
