-- job_partition_after
SELECT MIN(partition_key) FROM host_jobs WHERE partition_key > ?
