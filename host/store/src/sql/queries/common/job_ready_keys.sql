-- job_ready_keys
-- The keys by which jobs may be claimed, each found from the one before it.
WITH RECURSIVE known(ready_key) AS (
    SELECT MIN(ready_key) FROM host_jobs WHERE ready_key IS NOT NULL
    UNION ALL
    SELECT (SELECT MIN(host_jobs.ready_key) FROM host_jobs WHERE host_jobs.ready_key > known.ready_key) FROM known WHERE known.ready_key IS NOT NULL
)
SELECT ready_key FROM known WHERE ready_key IS NOT NULL LIMIT ?
