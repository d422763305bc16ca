-- job_partition_heads
SELECT * FROM (SELECT id, sort_key FROM host_jobs WHERE partition_key = ? ORDER BY sort_key, id LIMIT ?) AS first_jobs
