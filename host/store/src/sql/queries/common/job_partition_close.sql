-- job_partition_close
-- The tasks of these partitions have no limit (any more).
UPDATE host_jobs SET partition_key = '' WHERE partition_key IN (?*)
