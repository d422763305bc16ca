-- job_look
-- What an acquisition has to look at, in one answer. The same in each row: whether there are leases under this token, missed deadlines, jobs
-- that have become due; the catalogue's revision. In a row each: the lanes that are not empty, one step for each, however many jobs wait in it.
WITH RECURSIVE lanes (lane) AS (
    SELECT MIN(lane) FROM jobs WHERE lane IS NOT NULL
    UNION ALL
    SELECT (SELECT MIN(jobs.lane) FROM jobs WHERE jobs.lane > lanes.lane) FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE lease_holder = ? AND lease_token = ?) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE deadline < ?) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE wakes_at <= ?) THEN 1 ELSE 0 END,
    (SELECT value FROM host_numbers WHERE name = 'catalog_revision'),
    lanes.lane, tasks.max_running
FROM (SELECT 1) AS once LEFT JOIN lanes ON lanes.lane IS NOT NULL LEFT JOIN tasks ON tasks.id = lanes.lane
