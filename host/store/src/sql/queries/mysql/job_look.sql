-- job_look
-- As in the other databases, but for the lanes: this one has no way to step from one to the next that its planner keeps to. They are looked
-- for by the tasks that have one; what waits in a lane that has lost its task is found by job_lane_after. The limits of one row keep the
-- planner from reading all lanes to join them.
SELECT
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE lease_holder = ? AND lease_token = ?) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE deadline < ?) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE wakes_at <= ?) THEN 1 ELSE 0 END,
    (SELECT value FROM host_numbers WHERE name = 'catalog_revision'),
    lanes.lane, lanes.max_running
FROM (SELECT 1) AS once LEFT JOIN (
    SELECT '' AS lane, NULL AS max_running FROM (SELECT 1) AS shared
    WHERE (SELECT 1 FROM jobs FORCE INDEX (jobs_ready) WHERE lane = '' LIMIT 1) IS NOT NULL
    UNION ALL
    SELECT t.id, t.max_running FROM tasks AS t
    WHERE t.max_running IS NOT NULL AND (SELECT 1 FROM jobs FORCE INDEX (jobs_ready) WHERE jobs.lane = t.id LIMIT 1) IS NOT NULL
) AS lanes ON TRUE
