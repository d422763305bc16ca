-- The schema of version 2 at once, for a database that has none of ours. Instants and durations are whole microseconds, instants since 1970 in UTC; flags are 0 or 1.

CREATE TABLE host_numbers (
    name TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO host_numbers (name, value) VALUES ('catalog_revision', 0);

CREATE TABLE host_plugin_versions (
    name TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    size_bytes BIGINT NOT NULL,
    details TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    is_current BIGINT NOT NULL,
    PRIMARY KEY (name, digest)
);

-- In parts, because databases bound the size of one value on its way.
CREATE TABLE host_plugin_bytes (
    digest BYTEA NOT NULL,
    part BIGINT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (digest, part)
);

-- max_running: null for any number.
CREATE TABLE host_tasks (
    id TEXT COLLATE "C" PRIMARY KEY,
    plugin_name TEXT COLLATE "C",
    function_name TEXT COLLATE "C" NOT NULL,
    offered BIGINT NOT NULL,
    description TEXT NOT NULL,
    args_schema TEXT,
    result_schema TEXT,
    example_args TEXT,
    configured TEXT NOT NULL,
    declared TEXT NOT NULL,
    defaults TEXT NOT NULL,
    max_running BIGINT
);
CREATE INDEX host_tasks_plugin ON host_tasks (plugin_name);

-- life: which of the schedules that have had this id one after the other; a fire is made once in each.
-- run_at: when a scheduler is to look at the schedule next: its next fire time or, if later, the end of the lease on it; null while
-- it is paused and when it has no more fire times.
CREATE TABLE host_schedules (
    id TEXT COLLATE "C" PRIMARY KEY,
    task_id TEXT COLLATE "C" NOT NULL,
    trigger_json TEXT NOT NULL,
    trigger_state TEXT NOT NULL,
    args_encoding TEXT COLLATE "C" NOT NULL,
    args BYTEA NOT NULL,
    coalesce_policy TEXT COLLATE "C" NOT NULL,
    max_jitter BIGINT NOT NULL,
    settings TEXT NOT NULL,
    paused BIGINT NOT NULL,
    pause_reason TEXT,
    next_fire_time BIGINT,
    last_fire_time BIGINT,
    created_at BIGINT NOT NULL,
    lease_holder TEXT COLLATE "C",
    lease_token BYTEA,
    lease_until BIGINT,
    run_at BIGINT,
    life BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX host_schedules_due ON host_schedules (run_at, id) WHERE run_at IS NOT NULL;
CREATE INDEX host_schedules_leased ON host_schedules (lease_holder, lease_token) WHERE lease_holder IS NOT NULL;
CREATE INDEX host_schedules_task ON host_schedules (task_id, id);

-- Of a queued job exactly one of these is set: partition_key, if it is due: its task's id if that task has a limit on running jobs,
-- else the empty text, which all other tasks share; run_at, if it is not yet due. deadline: the start deadline of a queued job
-- that has not begun. All three are null for other jobs, so that the indexes on them stay as small as the queue.
-- sort_key: the negated priority, so that one ascending index gives the order of starting.
CREATE TABLE host_jobs (
    id BYTEA NOT NULL PRIMARY KEY,
    task_id TEXT COLLATE "C" NOT NULL,
    schedule_id TEXT COLLATE "C",
    scheduled_fire_time BIGINT,
    jitter BIGINT NOT NULL,
    args_encoding TEXT COLLATE "C" NOT NULL,
    args BYTEA NOT NULL,
    settings TEXT NOT NULL,
    sort_key BIGINT NOT NULL,
    result_ttl BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    start_deadline BIGINT,
    created_at BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL DEFAULT 'queued',
    partition_key TEXT COLLATE "C",
    run_at BIGINT,
    deadline BIGINT,
    attempt BIGINT NOT NULL DEFAULT 0,
    crashes BIGINT NOT NULL DEFAULT 0,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    lease_holder TEXT COLLATE "C",
    lease_token BYTEA,
    lease_until BIGINT,
    scheduler_id TEXT COLLATE "C",
    plugin_digest BYTEA,
    started_at BIGINT,
    progress TEXT,
    outcome TEXT COLLATE "C",
    finished_at BIGINT,
    result_encoding TEXT COLLATE "C",
    result BYTEA,
    error TEXT,
    resource_usage TEXT,
    expires_at BIGINT,
    schedule_life BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX host_jobs_ready ON host_jobs (partition_key, sort_key, id) WHERE partition_key IS NOT NULL;
CREATE INDEX host_jobs_waiting ON host_jobs (run_at, id) WHERE run_at IS NOT NULL;
CREATE INDEX host_jobs_deadline ON host_jobs (deadline, id) WHERE deadline IS NOT NULL;
CREATE INDEX host_jobs_running ON host_jobs (task_id) WHERE state = 'running';
CREATE INDEX host_jobs_leased ON host_jobs (lease_holder, lease_token) WHERE lease_holder IS NOT NULL;
CREATE UNIQUE INDEX host_jobs_fire ON host_jobs (schedule_id, schedule_life, scheduled_fire_time) WHERE schedule_id IS NOT NULL AND scheduled_fire_time IS NOT NULL;
CREATE INDEX host_jobs_task ON host_jobs (task_id, id);
CREATE INDEX host_jobs_schedule ON host_jobs (schedule_id, id) WHERE schedule_id IS NOT NULL;
CREATE INDEX host_jobs_outcome ON host_jobs (outcome, id);
CREATE INDEX host_jobs_expiring ON host_jobs (expires_at, id) WHERE expires_at IS NOT NULL;

CREATE TABLE host_job_logs (
    job_id BYTEA NOT NULL,
    attempt BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    level TEXT COLLATE "C" NOT NULL,
    target TEXT NOT NULL,
    message TEXT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (job_id, attempt, sequence)
);

CREATE TABLE host_schedulers (
    id TEXT COLLATE "C" PRIMARY KEY,
    role TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    stopped_at BIGINT
);

-- For people: ids and times in words. Times before 1970 are off in their fractions.
CREATE VIEW host_v_jobs AS SELECT
    substr(encode(id, 'hex'), 1, 8) || '-' || substr(encode(id, 'hex'), 9, 4) || '-' || substr(encode(id, 'hex'), 13, 4) || '-' || substr(encode(id, 'hex'), 17, 4) || '-' || substr(encode(id, 'hex'), 21, 12) AS id,
    task_id,
    schedule_id,
    state,
    outcome,
    attempt,
    crashes,
    -sort_key AS priority,
    cancel_requested,
    lease_holder,
    to_char(to_timestamp(created_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(created_at % 1000000, 'FM"."000000"Z"') AS created_at,
    to_char(to_timestamp(due_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(due_at % 1000000, 'FM"."000000"Z"') AS due_at,
    to_char(to_timestamp(start_deadline / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(start_deadline % 1000000, 'FM"."000000"Z"') AS start_deadline,
    to_char(to_timestamp(scheduled_fire_time / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(scheduled_fire_time % 1000000, 'FM"."000000"Z"') AS scheduled_fire_time,
    to_char(to_timestamp(started_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(started_at % 1000000, 'FM"."000000"Z"') AS started_at,
    to_char(to_timestamp(finished_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(finished_at % 1000000, 'FM"."000000"Z"') AS finished_at,
    to_char(to_timestamp(expires_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(expires_at % 1000000, 'FM"."000000"Z"') AS expires_at,
    to_char(to_timestamp(lease_until / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(lease_until % 1000000, 'FM"."000000"Z"') AS lease_until,
    scheduler_id,
    encode(plugin_digest, 'hex') AS plugin_digest,
    args_encoding,
    settings,
    progress,
    error,
    resource_usage
FROM host_jobs;

CREATE VIEW host_v_schedules AS SELECT
    id, task_id, trigger_json, trigger_state, coalesce_policy, max_jitter / 1000000.0 AS max_jitter_seconds, settings, paused,
    pause_reason, lease_holder,
    to_char(to_timestamp(next_fire_time / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(next_fire_time % 1000000, 'FM"."000000"Z"') AS next_fire_time,
    to_char(to_timestamp(last_fire_time / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(last_fire_time % 1000000, 'FM"."000000"Z"') AS last_fire_time,
    to_char(to_timestamp(created_at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(created_at % 1000000, 'FM"."000000"Z"') AS created_at,
    to_char(to_timestamp(lease_until / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || to_char(lease_until % 1000000, 'FM"."000000"Z"') AS lease_until
FROM host_schedules;
