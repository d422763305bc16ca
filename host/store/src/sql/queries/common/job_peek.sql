-- job_peek
-- What an acquisition has to look at, in one answer. The same in each row: whether there are leases under this token, missed deadlines, jobs
-- that have become due; the catalogue's revision; the time. In a row each: a key, and whether it has jobs ready in a queue that is not
-- paused.
SELECT
    CASE WHEN EXISTS (SELECT 1 FROM host_jobs WHERE lease_holder = ? AND lease_token = ?) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM host_jobs WHERE deadline < ?now) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM host_jobs WHERE run_at <= ?now) THEN 1 ELSE 0 END,
    (SELECT value FROM host_numbers WHERE name = 'catalog_revision'), ?now,
    v.ready_key,
    CASE WHEN (SELECT 1 FROM host_jobs WHERE host_jobs.ready_key = v.ready_key ORDER BY sort_key, id LIMIT 1) IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM host_queues WHERE host_queues.name = v.queue AND host_queues.paused = 1) THEN 1 ELSE 0 END
FROM ?table(ready_key t, queue t)
