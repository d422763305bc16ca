-- fires: how many lines host_fires has had for the schedule; the number of the last one.
ALTER TABLE host_schedules ADD COLUMN fires BIGINT NOT NULL DEFAULT 0;

-- What became of the due times of schedules, a row for each run of due times of which the same became, numbered for each schedule in the
-- order of time. first_due, last_due, due_count: the due times; or_more: there may be more than were counted. at: when it was decided.
-- jobs: the ids of the jobs that were made, 16 bytes each. is_end: the trigger has no more fire times.
CREATE TABLE host_fires (
    schedule_id VARCHAR(191) NOT NULL,
    number BIGINT NOT NULL,
    first_due BIGINT NOT NULL,
    last_due BIGINT NOT NULL,
    due_count BIGINT NOT NULL,
    or_more BIGINT NOT NULL,
    at BIGINT NOT NULL,
    fate VARCHAR(191) NOT NULL,
    jobs LONGBLOB,
    reason LONGTEXT,
    is_end BIGINT NOT NULL,
    PRIMARY KEY (schedule_id, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
