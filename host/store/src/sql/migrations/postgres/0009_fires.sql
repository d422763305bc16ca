-- fires: how many lines host_fires has had for the schedule; the number of the last one.
ALTER TABLE host_schedules ADD COLUMN fires BIGINT NOT NULL DEFAULT 0;

-- What became of the due times of schedules, a row for each run of due times of which the same became, numbered for each schedule in the
-- order of time. first_due, last_due, due_count: the due times; or_more: there may be more than were counted. at: when it was decided.
-- jobs: the ids of the jobs that were made, 16 bytes each. is_end: the trigger has no more fire times.
CREATE TABLE host_fires (
    schedule_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    first_due BIGINT NOT NULL,
    last_due BIGINT NOT NULL,
    due_count BIGINT NOT NULL,
    or_more BIGINT NOT NULL,
    at BIGINT NOT NULL,
    fate TEXT COLLATE "C" NOT NULL,
    jobs BYTEA,
    reason TEXT,
    is_end BIGINT NOT NULL,
    PRIMARY KEY (schedule_id, number)
);
