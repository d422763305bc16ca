-- job_place
UPDATE host_jobs
SET ready_key = CASE WHEN v.is_ready = 1 THEN host_jobs.claim_key END, key_place = v.key_place, task_place = v.task_place, run_at = NULL
FROM ?table(id b, key_place i, task_place i, is_ready i)
WHERE host_jobs.id = v.id
