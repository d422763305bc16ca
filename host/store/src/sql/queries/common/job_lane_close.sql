-- job_lane_close
-- The tasks of these lanes have no limit (any more).
UPDATE jobs SET lane = '' WHERE lane IN (?*)
