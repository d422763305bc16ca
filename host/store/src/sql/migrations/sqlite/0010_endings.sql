-- fire_count: how many fires of the schedule have made a job, from this version of the schema on. failures: how many of its jobs have failed
-- one after the other.
ALTER TABLE host_schedules ADD COLUMN fire_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE host_schedules ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
