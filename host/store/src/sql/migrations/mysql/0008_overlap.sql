-- overruns_since: the first of the fire times, up to the last one, at which an earlier job of the schedule had not ended; null where the
-- last fire found none.
ALTER TABLE host_schedules ADD COLUMN overruns_since BIGINT;

-- The jobs of a schedule that have not ended.
CREATE INDEX host_jobs_unfinished ON host_jobs (schedule_id, outcome, id);
