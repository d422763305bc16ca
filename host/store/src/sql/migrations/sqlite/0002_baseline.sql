-- The schema of version 2 at once, for a database that has none of ours. Instants and durations are whole microseconds, instants since 1970 in UTC; flags are 0 or 1.

CREATE TABLE host_numbers (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO host_numbers (name, value) VALUES ('catalog_revision', 0);

CREATE TABLE host_plugin_versions (
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    details TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    is_current INTEGER NOT NULL,
    PRIMARY KEY (name, digest)
) STRICT;

-- In parts, because databases bound the size of one value on its way.
CREATE TABLE host_plugin_bytes (
    digest BLOB NOT NULL,
    part INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (digest, part)
) STRICT;

-- max_running: null for any number.
CREATE TABLE host_tasks (
    id TEXT PRIMARY KEY,
    plugin_name TEXT,
    function_name TEXT NOT NULL,
    offered INTEGER NOT NULL,
    description TEXT NOT NULL,
    args_schema TEXT,
    result_schema TEXT,
    example_args TEXT,
    configured TEXT NOT NULL,
    declared TEXT NOT NULL,
    defaults TEXT NOT NULL,
    max_running INTEGER
) STRICT;
CREATE INDEX host_tasks_plugin ON host_tasks (plugin_name);

-- life: which of the schedules that have had this id one after the other; a fire is made once in each.
-- run_at: when a scheduler is to look at the schedule next: its next fire time or, if later, the end of the lease on it; null while
-- it is paused and when it has no more fire times.
CREATE TABLE host_schedules (
    id TEXT PRIMARY KEY,
    task_id TEXT NOT NULL,
    trigger_json TEXT NOT NULL,
    trigger_state TEXT NOT NULL,
    args_encoding TEXT NOT NULL,
    args BLOB NOT NULL,
    coalesce_policy TEXT NOT NULL,
    max_jitter INTEGER NOT NULL,
    settings TEXT NOT NULL,
    paused INTEGER NOT NULL,
    pause_reason TEXT,
    next_fire_time INTEGER,
    last_fire_time INTEGER,
    created_at INTEGER NOT NULL,
    lease_holder TEXT,
    lease_token BLOB,
    lease_until INTEGER,
    run_at INTEGER,
    life INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX host_schedules_due ON host_schedules (run_at, id) WHERE run_at IS NOT NULL;
CREATE INDEX host_schedules_leased ON host_schedules (lease_holder, lease_token) WHERE lease_holder IS NOT NULL;
CREATE INDEX host_schedules_task ON host_schedules (task_id, id);

-- Of a queued job exactly one of these is set: partition_key, if it is due: its task's id if that task has a limit on running jobs,
-- else the empty text, which all other tasks share; run_at, if it is not yet due. deadline: the start deadline of a queued job
-- that has not begun. All three are null for other jobs, so that the indexes on them stay as small as the queue.
-- sort_key: the negated priority, so that one ascending index gives the order of starting.
CREATE TABLE host_jobs (
    id BLOB NOT NULL PRIMARY KEY,
    task_id TEXT NOT NULL,
    schedule_id TEXT,
    scheduled_fire_time INTEGER,
    jitter INTEGER NOT NULL,
    args_encoding TEXT NOT NULL,
    args BLOB NOT NULL,
    settings TEXT NOT NULL,
    sort_key INTEGER NOT NULL,
    result_ttl INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    start_deadline INTEGER,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    partition_key TEXT,
    run_at INTEGER,
    deadline INTEGER,
    attempt INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    lease_holder TEXT,
    lease_token BLOB,
    lease_until INTEGER,
    scheduler_id TEXT,
    plugin_digest BLOB,
    started_at INTEGER,
    progress TEXT,
    outcome TEXT,
    finished_at INTEGER,
    result_encoding TEXT,
    result BLOB,
    error TEXT,
    resource_usage TEXT,
    expires_at INTEGER,
    schedule_life INTEGER NOT NULL DEFAULT 0
) STRICT;
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
    job_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    level TEXT NOT NULL,
    target TEXT NOT NULL,
    message TEXT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (job_id, attempt, sequence)
) STRICT;

CREATE TABLE host_schedulers (
    id TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    stopped_at INTEGER
) STRICT;

-- For people: ids and times in words. Times before 1970 are off in their fractions.
CREATE VIEW host_v_jobs AS SELECT
    substr(lower(hex(id)), 1, 8) || '-' || substr(lower(hex(id)), 9, 4) || '-' || substr(lower(hex(id)), 13, 4) || '-' || substr(lower(hex(id)), 17, 4) || '-' || substr(lower(hex(id)), 21, 12) AS id,
    task_id,
    schedule_id,
    state,
    outcome,
    attempt,
    crashes,
    -sort_key AS priority,
    cancel_requested,
    lease_holder,
    strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000000, 'unixepoch') || printf('.%06dZ', created_at % 1000000) AS created_at,
    strftime('%Y-%m-%dT%H:%M:%S', due_at / 1000000, 'unixepoch') || printf('.%06dZ', due_at % 1000000) AS due_at,
    strftime('%Y-%m-%dT%H:%M:%S', start_deadline / 1000000, 'unixepoch') || printf('.%06dZ', start_deadline % 1000000) AS start_deadline,
    strftime('%Y-%m-%dT%H:%M:%S', scheduled_fire_time / 1000000, 'unixepoch') || printf('.%06dZ', scheduled_fire_time % 1000000) AS scheduled_fire_time,
    strftime('%Y-%m-%dT%H:%M:%S', started_at / 1000000, 'unixepoch') || printf('.%06dZ', started_at % 1000000) AS started_at,
    strftime('%Y-%m-%dT%H:%M:%S', finished_at / 1000000, 'unixepoch') || printf('.%06dZ', finished_at % 1000000) AS finished_at,
    strftime('%Y-%m-%dT%H:%M:%S', expires_at / 1000000, 'unixepoch') || printf('.%06dZ', expires_at % 1000000) AS expires_at,
    strftime('%Y-%m-%dT%H:%M:%S', lease_until / 1000000, 'unixepoch') || printf('.%06dZ', lease_until % 1000000) AS lease_until,
    scheduler_id,
    lower(hex(plugin_digest)) AS plugin_digest,
    args_encoding,
    settings,
    progress,
    error,
    resource_usage
FROM host_jobs;

CREATE VIEW host_v_schedules AS SELECT
    id, task_id, trigger_json, trigger_state, coalesce_policy, max_jitter / 1000000.0 AS max_jitter_seconds, settings, paused,
    pause_reason, lease_holder,
    strftime('%Y-%m-%dT%H:%M:%S', next_fire_time / 1000000, 'unixepoch') || printf('.%06dZ', next_fire_time % 1000000) AS next_fire_time,
    strftime('%Y-%m-%dT%H:%M:%S', last_fire_time / 1000000, 'unixepoch') || printf('.%06dZ', last_fire_time % 1000000) AS last_fire_time,
    strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000000, 'unixepoch') || printf('.%06dZ', created_at % 1000000) AS created_at,
    strftime('%Y-%m-%dT%H:%M:%S', lease_until / 1000000, 'unixepoch') || printf('.%06dZ', lease_until % 1000000) AS lease_until
FROM host_schedules;
