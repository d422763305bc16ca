-- fires: how many lines host_fires has had for the schedule; the number of the last one.
ALTER TABLE host_schedules ADD COLUMN fires INTEGER NOT NULL DEFAULT 0;

-- What became of the due times of schedules, a row for each run of due times of which the same became, numbered for each schedule in the
-- order of time. first_due, last_due, due_count: the due times; or_more: there may be more than were counted. at: when it was decided.
-- jobs: the ids of the jobs that were made, 16 bytes each. is_end: the trigger has no more fire times.
CREATE TABLE host_fires (
    schedule_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    first_due INTEGER NOT NULL,
    last_due INTEGER NOT NULL,
    due_count INTEGER NOT NULL,
    or_more INTEGER NOT NULL,
    at INTEGER NOT NULL,
    fate TEXT NOT NULL,
    jobs BLOB,
    reason TEXT,
    is_end INTEGER NOT NULL,
    PRIMARY KEY (schedule_id, number)
) STRICT, WITHOUT ROWID;
