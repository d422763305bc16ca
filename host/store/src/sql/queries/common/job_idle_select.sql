-- job_idle_select
-- Jobs that do not run and have a place of their task, or of their concurrency key, by what they are claimed by.
SELECT host_jobs.id, host_jobs.task_id, host_jobs.concurrency_key FROM host_groups
JOIN host_jobs ON host_jobs.task_id = host_groups.task_id AND host_jobs.task_place = 1
WHERE host_groups.concurrency_key = '' AND host_groups.taken > 0 AND host_jobs.state = 'queued' AND host_jobs.claim_key IN (?*)
UNION
SELECT host_jobs.id, host_jobs.task_id, host_jobs.concurrency_key FROM host_groups
JOIN host_jobs ON host_jobs.task_id = host_groups.task_id AND host_jobs.concurrency_key = host_groups.concurrency_key AND host_jobs.key_place = 1
WHERE host_groups.concurrency_key <> '' AND host_groups.taken > 0 AND host_jobs.state = 'queued' AND host_jobs.claim_key IN (?*)
ORDER BY id LIMIT 1000
