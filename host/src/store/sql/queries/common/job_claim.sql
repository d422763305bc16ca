-- job_claim
UPDATE jobs
SET state = 'running', lane = NULL, deadline = NULL, attempt = attempt + 1, progress = NULL,
    lease_holder = ?, lease_token = ?, lease_until = ?, scheduler_id = ?, started_at = ?
WHERE lane IS NOT NULL AND id IN (?*)
