-- job_repartition
-- Told which index: entries that are not cleared away yet count as jobs that wait, and with many of them it would read the whole table.
UPDATE host_jobs FORCE INDEX (host_jobs_ready) SET partition_key = task_id WHERE partition_key = '' AND task_id IN (?*)
