-- job_repartition
UPDATE host_jobs SET partition_key = task_id WHERE partition_key = '' AND task_id IN (?*)
