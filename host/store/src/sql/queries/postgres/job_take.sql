-- job_take
-- What an acquisition has to look at, and the jobs that it leases, in one answer. The same in each row: whether there are leases under this
-- token, missed deadlines, jobs that have become due, ready jobs that were parked; the catalogue's revision; the time. Then whether the
-- row has a job, and that job as job_claimed answers it, in no order.
-- Jobs are leased where the token is new and none was parked, and nothing else is to be done first (1) or whatever there is (2).
-- Where several keys have jobs ready, how many to take of each follows from a look at their first ones: the queues take turns.
-- Until the next VACUUM the index keeps its entries of jobs that were leased before, and who looks for the first job of a key walks past
-- them. That is done once for each key; everything after begins where the first job was found.
WITH look AS MATERIALIZED (
    SELECT asked.now,
        EXISTS (SELECT 1 FROM host_jobs WHERE lease_holder = ? AND lease_token = ?) AS is_repeated,
        EXISTS (SELECT 1 FROM host_jobs WHERE deadline < asked.now) AS has_missed,
        EXISTS (SELECT 1 FROM host_jobs WHERE run_at <= asked.now) AS has_woken
    FROM (SELECT ?now AS now) AS asked
), open AS MATERIALIZED (
    SELECT v.ready_key, v.turn, v.quota, first.sort_key, first.id
    FROM look CROSS JOIN ?table(ready_key t, queue t, turn i, quota i)
    CROSS JOIN (SELECT ?::bigint AS takes) AS asked
    CROSS JOIN LATERAL (
        SELECT sort_key, id FROM host_jobs WHERE host_jobs.ready_key = v.ready_key ORDER BY sort_key, id LIMIT 1
    ) AS first
    WHERE NOT look.is_repeated AND (asked.takes = 2 OR asked.takes = 1 AND NOT look.has_missed AND NOT look.has_woken)
        AND NOT EXISTS (SELECT 1 FROM host_queues WHERE host_queues.name = v.queue AND host_queues.paused = 1)
), candidates AS (
    SELECT open.ready_key, open.turn, open.quota, open.sort_key, open.id,
        ROW_NUMBER() OVER (PARTITION BY open.turn ORDER BY first.sort_key, first.id) AS place
    FROM open CROSS JOIN LATERAL (
        SELECT sort_key, id FROM host_jobs
        WHERE host_jobs.ready_key = open.ready_key AND (host_jobs.sort_key, host_jobs.id) >= (open.sort_key, open.id)
        ORDER BY sort_key, id LIMIT CASE WHEN (SELECT COUNT(*) FROM open) = 1 THEN 0 ELSE open.quota END
    ) AS first
), quotas AS MATERIALIZED (
    SELECT ready_key, sort_key, id, quota FROM open WHERE (SELECT COUNT(*) FROM open) = 1
    UNION ALL
    SELECT ready_key, sort_key, id, COUNT(*) FROM (
        SELECT ready_key, sort_key, id FROM candidates WHERE place <= quota ORDER BY place, turn LIMIT ?
    ) AS chosen GROUP BY ready_key, sort_key, id
), locked AS MATERIALIZED (
    SELECT job.id, job.is_parked FROM quotas CROSS JOIN LATERAL (
        SELECT id, COALESCE(key_place = 2, FALSE) OR COALESCE(task_place = 2, FALSE) AS is_parked
        FROM host_jobs
        WHERE host_jobs.ready_key = quotas.ready_key AND (host_jobs.sort_key, host_jobs.id) >= (quotas.sort_key, quotas.id)
        ORDER BY sort_key, id LIMIT quotas.quota /*claim*/
    ) AS job
), claimed AS (
    UPDATE host_jobs
    SET state = 'running', ready_key = NULL, deadline = NULL, attempt = attempt + 1, progress = NULL,
        lease_holder = ?, lease_token = ?, lease_until = (SELECT now FROM look) + ?, scheduler_id = ?, started_at = (SELECT now FROM look)
    WHERE id = ANY(ARRAY(SELECT id FROM locked WHERE NOT EXISTS (SELECT 1 FROM locked WHERE is_parked)))
        AND COALESCE(ready_key, '') <> ''
    RETURNING id, task_id, schedule_id, schedule_life, scheduled_fire_time, jitter, args_encoding, args, settings, due_at, start_deadline,
        created_at, state, attempt, crashes, cancel_requested, cancel_grace, lease_holder, lease_token, lease_until, scheduler_id, plugin_digest, started_at,
        progress, outcome, finished_at, result_encoding, result, error, resource_usage, expires_at
)
SELECT CASE WHEN look.is_repeated THEN 1 ELSE 0 END, CASE WHEN look.has_missed THEN 1 ELSE 0 END, CASE WHEN look.has_woken THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM locked WHERE is_parked) THEN 1 ELSE 0 END,
    (SELECT value FROM host_numbers WHERE name = 'catalog_revision'), look.now, CASE WHEN claimed.id IS NULL THEN 0 ELSE 1 END, claimed.*
FROM look LEFT JOIN claimed ON TRUE
