-- job_claim
-- This database does not answer what it changed: job_claimed reads it.
UPDATE host_jobs
SET state = 'running', ready_key = NULL, deadline = NULL, attempt = attempt + 1, progress = NULL,
    lease_holder = ?, lease_token = ?, lease_until = ?, scheduler_id = ?, started_at = ?
WHERE id IN (?*) AND COALESCE(ready_key, '') <> ''
