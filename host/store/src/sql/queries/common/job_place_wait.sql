-- job_place_wait
SELECT id, key_place, task_place FROM host_jobs WHERE id IN (?*) AND state = 'queued' ORDER BY id /*lock*/
