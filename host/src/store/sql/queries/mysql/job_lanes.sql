-- job_lanes
-- One step for each lane, however many jobs wait in it ("Using index for group-by").
SELECT lanes.lane, tasks.max_running
FROM (SELECT DISTINCT lane FROM jobs WHERE lane IS NOT NULL) AS lanes LEFT JOIN tasks ON tasks.id = lanes.lane
ORDER BY lanes.lane
