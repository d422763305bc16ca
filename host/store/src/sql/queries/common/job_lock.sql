-- job_lock
SELECT id, state, lease_token, lease_holder, task_id, attempt, crashes, cancel_requested, due_at, started_at, result_ttl,
    settings, concurrency_key, key_place, task_place
FROM host_jobs WHERE id IN (?*) ORDER BY id /*lock*/
