-- job_partition_heads
SELECT first_jobs.id, first_jobs.sort_key
FROM ?table(partition_key t, quota i)
CROSS JOIN LATERAL (SELECT id, sort_key FROM host_jobs WHERE host_jobs.partition_key = v.partition_key ORDER BY sort_key, id LIMIT v.quota) AS first_jobs
