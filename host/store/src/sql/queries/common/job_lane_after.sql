-- job_lane_after
SELECT MIN(lane) FROM jobs WHERE lane > ?
