-- job_lane_heads
SELECT heads.id, heads.place
FROM ?table(lane t, quota i)
CROSS JOIN LATERAL (SELECT id, place FROM jobs WHERE jobs.lane = v.lane ORDER BY place, id LIMIT v.quota) AS heads
