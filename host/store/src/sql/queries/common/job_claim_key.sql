-- job_claim_key
UPDATE host_jobs
SET claim_key = v.claim_key, ready_key = CASE WHEN host_jobs.ready_key IS NOT NULL THEN v.claim_key END
FROM ?table(id b, claim_key t)
WHERE host_jobs.id = v.id AND host_jobs.state <> 'finished'
