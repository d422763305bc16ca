-- job_shared_select
SELECT id, place, task_id FROM jobs WHERE lane = '' ORDER BY place, id LIMIT ? /*claim*/
