-- job_peek
-- As in the other databases, but for the partitions: this one has no way to step from one to the next that its planner keeps to. They are looked
-- for by the tasks that have one; what waits in a partition that has lost its task is found by job_partition_after. The limits of one row keep the
-- planner from reading all partitions to join them.
SELECT
    CASE WHEN EXISTS (SELECT 1 FROM host_jobs WHERE lease_holder = ? AND lease_token = ?) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM host_jobs WHERE deadline < ?now) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM host_jobs WHERE run_at <= ?now) THEN 1 ELSE 0 END,
    (SELECT value FROM host_numbers WHERE name = 'catalog_revision'), ?now,
    partitions.partition_key, partitions.max_running
FROM (SELECT 1) AS once LEFT JOIN (
    SELECT '' AS partition_key, NULL AS max_running FROM (SELECT 1) AS shared
    WHERE (SELECT 1 FROM host_jobs FORCE INDEX (host_jobs_ready) WHERE partition_key = '' LIMIT 1) IS NOT NULL
    UNION ALL
    SELECT t.id, t.max_running FROM host_tasks AS t
    WHERE t.max_running IS NOT NULL AND (SELECT 1 FROM host_jobs FORCE INDEX (host_jobs_ready) WHERE host_jobs.partition_key = t.id LIMIT 1) IS NOT NULL
) AS partitions ON TRUE
