-- job_places_unread
SELECT task_id, concurrency_key, key_place, task_place
FROM host_jobs WHERE id IN (?*) AND (key_place IS NOT NULL OR task_place IS NOT NULL)
