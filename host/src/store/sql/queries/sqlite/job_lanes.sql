-- job_lanes
-- One step for each lane, however many jobs wait in it.
WITH RECURSIVE lanes (lane) AS (
    SELECT MIN(lane) FROM jobs WHERE lane IS NOT NULL
    UNION ALL
    SELECT (SELECT MIN(jobs.lane) FROM jobs WHERE jobs.lane > lanes.lane) FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT lanes.lane, tasks.max_running FROM lanes LEFT JOIN tasks ON tasks.id = lanes.lane WHERE lanes.lane IS NOT NULL
