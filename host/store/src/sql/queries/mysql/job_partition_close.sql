-- job_partition_close
-- The tasks of these partitions have no limit (any more). Told which index, as in job_repartition.
UPDATE host_jobs FORCE INDEX (host_jobs_ready) SET partition_key = '' WHERE partition_key IN (?*)
