-- job_places
SELECT task_id, concurrency_key, key_place, task_place
FROM host_jobs WHERE id IN (?*) AND state = 'running' AND (key_place = 1 OR task_place = 1) ORDER BY id /*lock*/
