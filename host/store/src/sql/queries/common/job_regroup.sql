-- job_regroup
-- Jobs that wait do so as if they had become due just now, and those that run have their places. One statement for both, because a job
-- may change from one to the other while this waits for it. Asks whether keys are limited and whether the task is, as the conditions go.
UPDATE host_jobs SET
    ready_key = CASE WHEN state = 'running' OR (? = 1 AND concurrency_key IS NOT NULL) OR ? = 1 THEN NULL ELSE claim_key END,
    key_place = CASE WHEN ? = 0 OR concurrency_key IS NULL THEN NULL WHEN state = 'running' THEN 1 ELSE 0 END,
    task_place = CASE WHEN ? = 0 THEN NULL WHEN state = 'running' THEN 1 WHEN ? = 0 OR concurrency_key IS NULL THEN 0 END
WHERE task_id = ? AND state <> 'finished' AND run_at IS NULL
