-- job_place_lock
SELECT id, key_place, task_place FROM host_jobs WHERE id IN (?*) AND state = 'queued' ORDER BY id /*claim*/
