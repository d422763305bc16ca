-- job_lane_heads
SELECT * FROM (SELECT id, place FROM jobs WHERE lane = ? ORDER BY place, id LIMIT ?) AS heads
