-- job_claim_key
UPDATE host_jobs JOIN ?table(id b, claim_key t) ON host_jobs.id = v.id
SET host_jobs.claim_key = v.claim_key, host_jobs.ready_key = CASE WHEN host_jobs.ready_key IS NOT NULL THEN v.claim_key END
WHERE host_jobs.state <> 'finished'
