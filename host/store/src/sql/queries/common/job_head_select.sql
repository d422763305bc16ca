-- job_head_select
SELECT id, state, lease_token, lease_holder, task_id, attempt, crashes, cancel_requested, due_at, started_at, result_ttl,
    settings
FROM jobs WHERE id IN (?*) ORDER BY id /*lock*/
