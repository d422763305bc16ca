-- job_wake_select
SELECT id FROM jobs WHERE wakes_at <= ? ORDER BY wakes_at, id LIMIT ? /*claim*/
