-- job_wake_select
SELECT id, task_id, concurrency_key FROM host_jobs WHERE run_at <= ? ORDER BY run_at, id LIMIT ? /*claim*/
