-- fire_count: how many fires of the schedule have made a job, from this version of the schema on. failures: how many of its jobs have failed
-- one after the other.
ALTER TABLE host_schedules ADD COLUMN fire_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE host_schedules ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
