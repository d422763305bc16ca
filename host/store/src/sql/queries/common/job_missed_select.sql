-- job_missed_select
SELECT id, task_id, result_ttl FROM host_jobs WHERE deadline < ? ORDER BY deadline, id LIMIT ? /*claim*/
