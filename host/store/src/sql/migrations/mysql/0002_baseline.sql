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

-- max_running: null for any number.
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
    max_running BIGINT
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

-- Of a queued job exactly one of these is set: partition_key, if it is due: its task's id if that task has a limit on running jobs,
-- else the empty text, which all other tasks share; run_at, if it is not yet due. deadline: the start deadline of a queued job
-- that has not begun. All three are null for other jobs, so that the indexes on them stay as small as the queue.
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
    partition_key VARCHAR(191),
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
    schedule_life BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX host_jobs_ready ON host_jobs (partition_key, sort_key, id);
CREATE INDEX host_jobs_waiting ON host_jobs (run_at, id);
CREATE INDEX host_jobs_deadline ON host_jobs (deadline, id);
CREATE INDEX host_jobs_running ON host_jobs (state, task_id);
CREATE INDEX host_jobs_leased ON host_jobs (lease_holder, lease_token);
CREATE UNIQUE INDEX host_jobs_fire ON host_jobs (schedule_id, schedule_life, scheduled_fire_time);
CREATE INDEX host_jobs_task ON host_jobs (task_id, id);
CREATE INDEX host_jobs_schedule ON host_jobs (schedule_id, id);
CREATE INDEX host_jobs_outcome ON host_jobs (outcome, id);
CREATE INDEX host_jobs_expiring ON host_jobs (expires_at, id);

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

CREATE TABLE host_schedulers (
    id VARCHAR(191) PRIMARY KEY,
    role VARCHAR(191) NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    stopped_at BIGINT
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
