-- job_missed_select
SELECT id, task_id, result_ttl, concurrency_key, key_place, task_place
FROM host_jobs WHERE deadline < ? ORDER BY deadline, id LIMIT ? /*claim*/
