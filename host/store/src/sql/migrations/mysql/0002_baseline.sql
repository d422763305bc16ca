-- The schema of version 2 at once, for a database that has none of ours. Instants and durations are whole microseconds, instants since 1970 in UTC; flags are 0 or 1.

CREATE TABLE IF NOT EXISTS host_numbers (
    name VARCHAR(191) PRIMARY KEY,
    value BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO host_numbers (name, value) VALUES ('catalog_revision', 0);

CREATE TABLE host_plugin_versions (
    name VARCHAR(191) NOT NULL,
    digest VARBINARY(32) NOT NULL,
    size_bytes BIGINT NOT NULL,
    details LONGTEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    is_current BIGINT NOT NULL,
    PRIMARY KEY (name, digest)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- In parts, because databases bound the size of one value on its way.
CREATE TABLE host_plugin_bytes (
    digest VARBINARY(32) NOT NULL,
    part BIGINT NOT NULL,
    content LONGBLOB NOT NULL,
    PRIMARY KEY (digest, part)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- max_running, max_running_per_key: null for any number.
CREATE TABLE host_tasks (
    id VARCHAR(191) PRIMARY KEY,
    plugin_name VARCHAR(191),
    function_name VARCHAR(191) NOT NULL,
    offered BIGINT NOT NULL,
    description LONGTEXT NOT NULL,
    args_schema LONGTEXT,
    result_schema LONGTEXT,
    example_args LONGTEXT,
    configured LONGTEXT NOT NULL,
    declared LONGTEXT NOT NULL,
    defaults LONGTEXT NOT NULL,
    max_running BIGINT,
    max_running_per_key BIGINT
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX host_tasks_plugin ON host_tasks (plugin_name);

-- life: which of the schedules that have had this id one after the other; a fire is made once in each.
-- run_at: when a scheduler is to look at the schedule next: its next fire time or, if later, the end of the lease on it; null while
-- it is paused and when it has no more fire times.
CREATE TABLE host_schedules (
    id VARCHAR(191) PRIMARY KEY,
    task_id VARCHAR(191) NOT NULL,
    trigger_json LONGTEXT NOT NULL,
    trigger_state LONGTEXT NOT NULL,
    args_encoding VARCHAR(191) NOT NULL,
    args LONGBLOB NOT NULL,
    coalesce_policy VARCHAR(191) NOT NULL,
    max_jitter BIGINT NOT NULL,
    settings LONGTEXT NOT NULL,
    paused BIGINT NOT NULL,
    pause_reason LONGTEXT,
    next_fire_time BIGINT,
    last_fire_time BIGINT,
    created_at BIGINT NOT NULL,
    lease_holder VARCHAR(191),
    lease_token VARBINARY(16),
    lease_until BIGINT,
    run_at BIGINT,
    life BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX host_schedules_due ON host_schedules (run_at, id);
CREATE INDEX host_schedules_leased ON host_schedules (lease_holder, lease_token);
CREATE INDEX host_schedules_task ON host_schedules (task_id, id);

-- Of a queued job exactly one of these holds: run_at is set, if it is not yet due; ready_key, if it may be claimed; key_place is 0,
-- if it waits for a place of its concurrency key; task_place is 0, if it waits for a place of its task. A place that it has is 1,
-- while it may be claimed and while it runs; 2, with ready_key, if nobody ran it, so that it keeps no other from starting and has to
-- wait for a place as soon as a worker finds it; null is for no limit. deadline: the start deadline of a queued job that has not
-- begun. All of them are null for finished jobs, so that the indexes on them stay as small as the queue.
-- claim_key: the queue, a slash, and what a worker must have to run it; ready_key is the same or null.
-- sort_key: the negated priority, so that one ascending index gives the order of starting.
CREATE TABLE host_jobs (
    id VARBINARY(16) NOT NULL PRIMARY KEY,
    task_id VARCHAR(191) NOT NULL,
    schedule_id VARCHAR(191),
    scheduled_fire_time BIGINT,
    jitter BIGINT NOT NULL,
    args_encoding VARCHAR(191) NOT NULL,
    args LONGBLOB NOT NULL,
    settings LONGTEXT NOT NULL,
    sort_key BIGINT NOT NULL,
    result_ttl BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    start_deadline BIGINT,
    created_at BIGINT NOT NULL,
    state VARCHAR(191) NOT NULL DEFAULT 'queued',
    ready_key VARCHAR(255),
    run_at BIGINT,
    deadline BIGINT,
    attempt BIGINT NOT NULL DEFAULT 0,
    crashes BIGINT NOT NULL DEFAULT 0,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    lease_holder VARCHAR(191),
    lease_token VARBINARY(16),
    lease_until BIGINT,
    scheduler_id VARCHAR(191),
    plugin_digest VARBINARY(32),
    started_at BIGINT,
    progress LONGTEXT,
    outcome VARCHAR(191),
    finished_at BIGINT,
    result_encoding VARCHAR(191),
    result LONGBLOB,
    error LONGTEXT,
    resource_usage LONGTEXT,
    expires_at BIGINT,
    schedule_life BIGINT NOT NULL DEFAULT 0,
    claim_key VARCHAR(255) NOT NULL DEFAULT '',
    concurrency_key VARCHAR(191),
    key_place BIGINT,
    task_place BIGINT
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX host_jobs_ready ON host_jobs (ready_key, sort_key, id);
CREATE INDEX host_jobs_waiting ON host_jobs (run_at, id);
CREATE INDEX host_jobs_deadline ON host_jobs (deadline, id);
CREATE INDEX host_jobs_running ON host_jobs (state, task_id);
CREATE INDEX host_jobs_leased ON host_jobs (lease_holder, lease_token);
CREATE UNIQUE INDEX host_jobs_fire ON host_jobs (schedule_id, schedule_life, scheduled_fire_time);
CREATE INDEX host_jobs_task ON host_jobs (task_id, id);
CREATE INDEX host_jobs_schedule ON host_jobs (schedule_id, id);
CREATE INDEX host_jobs_outcome ON host_jobs (outcome, id);
CREATE INDEX host_jobs_expiring ON host_jobs (expires_at, id);

CREATE INDEX host_jobs_task_places ON host_jobs (task_id, task_place, sort_key, id);
CREATE INDEX host_jobs_key_places ON host_jobs (task_id, concurrency_key, key_place, sort_key, id);

-- How many jobs may run at once, of a task (concurrency_key is empty) and of each concurrency key of a task, if that is limited.
-- taken: how many run or may be claimed, which are those with task_place = 1, or key_place = 1.
CREATE TABLE host_groups (
    task_id VARCHAR(191) NOT NULL,
    concurrency_key VARCHAR(191) NOT NULL,
    max_running BIGINT NOT NULL,
    taken BIGINT NOT NULL,
    PRIMARY KEY (task_id, concurrency_key)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE host_queues (
    name VARCHAR(191) PRIMARY KEY,
    paused BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE host_job_logs (
    job_id VARBINARY(16) NOT NULL,
    attempt BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    level VARCHAR(191) NOT NULL,
    target LONGTEXT NOT NULL,
    message LONGTEXT NOT NULL,
    fields LONGTEXT NOT NULL,
    PRIMARY KEY (job_id, attempt, sequence)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- incarnation: which of the schedulers that have had this identity one after the other.
-- work: the queues that it serves and what it can run, as JSON; null if it does not say.
CREATE TABLE host_schedulers (
    id VARCHAR(191) PRIMARY KEY,
    role VARCHAR(191) NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    stopped_at BIGINT,
    incarnation VARCHAR(191) NOT NULL DEFAULT 'unknown',
    memory LONGTEXT,
    work LONGTEXT
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- For people: ids and times in words. Times before 1970 are off in their fractions.
CREATE OR REPLACE VIEW host_v_jobs AS SELECT
    CONCAT_WS('-', substr(LOWER(HEX(id)), 1, 8), substr(LOWER(HEX(id)), 9, 4), substr(LOWER(HEX(id)), 13, 4), substr(LOWER(HEX(id)), 17, 4), substr(LOWER(HEX(id)), 21, 12)) AS id,
    task_id,
    schedule_id,
    state,
    outcome,
    attempt,
    crashes,
    -sort_key AS priority,
    cancel_requested,
    lease_holder,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL created_at MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS created_at,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL due_at MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS due_at,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL start_deadline MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS start_deadline,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL scheduled_fire_time MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS scheduled_fire_time,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL started_at MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS started_at,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL finished_at MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS finished_at,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL expires_at MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS expires_at,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL lease_until MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS lease_until,
    scheduler_id,
    LOWER(HEX(plugin_digest)) AS plugin_digest,
    args_encoding,
    settings,
    progress,
    error,
    resource_usage
FROM host_jobs;

CREATE OR REPLACE VIEW host_v_schedules AS SELECT
    id, task_id, trigger_json, trigger_state, coalesce_policy, max_jitter / 1000000.0 AS max_jitter_seconds, settings, paused,
    pause_reason, lease_holder,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL next_fire_time MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS next_fire_time,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL last_fire_time MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS last_fire_time,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL created_at MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS created_at,
    DATE_FORMAT(DATE_ADD('1970-01-01', INTERVAL lease_until MICROSECOND), '%Y-%m-%dT%H:%i:%s.%fZ') AS lease_until
FROM host_schedules;
