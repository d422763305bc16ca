-- job_ready_keys
-- The keys by which jobs may be claimed. The server goes from one to the next.
SELECT DISTINCT ready_key FROM host_jobs FORCE INDEX (host_jobs_ready) WHERE ready_key > '' LIMIT ?
