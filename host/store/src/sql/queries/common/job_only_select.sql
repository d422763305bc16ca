-- job_only_select
SELECT task_id, result_ttl, deadline, run_at, claim_key, ready_key, concurrency_key, key_place, task_place
FROM host_jobs WHERE id = ? AND state = 'queued' /*lock*/
