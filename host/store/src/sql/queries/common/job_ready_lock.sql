-- job_ready_lock
-- Passes over jobs that somebody else is changing.
SELECT id, key_place, task_place FROM host_jobs WHERE id IN (?*) AND COALESCE(ready_key, '') <> '' ORDER BY sort_key, id /*claim*/
