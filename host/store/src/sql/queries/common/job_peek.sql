-- job_peek
-- What an acquisition has to look at, in one answer. The same in each row: whether there are leases under this token, missed deadlines, jobs
-- that have become due; the catalogue's revision; the time. In a row each: the partitions that are not empty, one step for each, however many jobs wait in it.
WITH RECURSIVE partitions (partition_key) AS (
    SELECT MIN(partition_key) FROM host_jobs WHERE partition_key IS NOT NULL
    UNION ALL
    SELECT (SELECT MIN(host_jobs.partition_key) FROM host_jobs WHERE host_jobs.partition_key > partitions.partition_key) FROM partitions WHERE partitions.partition_key IS NOT NULL
)
SELECT
    CASE WHEN EXISTS (SELECT 1 FROM host_jobs WHERE lease_holder = ? AND lease_token = ?) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM host_jobs WHERE deadline < ?now) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM host_jobs WHERE run_at <= ?now) THEN 1 ELSE 0 END,
    (SELECT value FROM host_numbers WHERE name = 'catalog_revision'), ?now,
    partitions.partition_key, host_tasks.max_running
FROM (SELECT 1) AS once LEFT JOIN partitions ON partitions.partition_key IS NOT NULL LEFT JOIN host_tasks ON host_tasks.id = partitions.partition_key
