-- job_place
UPDATE host_jobs JOIN ?table(id b, key_place i, task_place i, is_ready i) ON host_jobs.id = v.id
SET host_jobs.ready_key = CASE WHEN v.is_ready = 1 THEN host_jobs.claim_key END, host_jobs.key_place = v.key_place,
    host_jobs.task_place = v.task_place, host_jobs.run_at = NULL
