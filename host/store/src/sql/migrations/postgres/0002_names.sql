-- Names that no other program uses: tables, indexes and views begin with `host_`. Columns get the names that the field uses.

DROP VIEW v_jobs;
DROP VIEW v_schedules;

ALTER TABLE jobs RENAME TO host_jobs;
ALTER TABLE job_logs RENAME TO host_job_logs;
ALTER TABLE tasks RENAME TO host_tasks;
ALTER TABLE schedules RENAME TO host_schedules;
ALTER TABLE schedulers RENAME TO host_schedulers;
ALTER TABLE plugin_versions RENAME TO host_plugin_versions;
ALTER TABLE plugin_bytes RENAME TO host_plugin_bytes;

ALTER TABLE host_jobs RENAME COLUMN lane TO ready_key;
ALTER TABLE host_jobs RENAME COLUMN wakes_at TO run_at;
ALTER TABLE host_jobs RENAME COLUMN place TO sort_key;
ALTER TABLE host_jobs RENAME COLUMN cost TO resource_usage;
ALTER TABLE host_schedules RENAME COLUMN wakes_at TO run_at;

ALTER INDEX tasks_plugin RENAME TO host_tasks_plugin;
ALTER INDEX schedules_due RENAME TO host_schedules_due;
ALTER INDEX schedules_leased RENAME TO host_schedules_leased;
ALTER INDEX schedules_task RENAME TO host_schedules_task;
ALTER INDEX jobs_ready RENAME TO host_jobs_ready;
ALTER INDEX jobs_waiting RENAME TO host_jobs_waiting;
ALTER INDEX jobs_deadline RENAME TO host_jobs_deadline;
ALTER INDEX jobs_running RENAME TO host_jobs_running;
ALTER INDEX jobs_leased RENAME TO host_jobs_leased;
ALTER INDEX jobs_task RENAME TO host_jobs_task;
ALTER INDEX jobs_schedule RENAME TO host_jobs_schedule;
ALTER INDEX jobs_outcome RENAME TO host_jobs_outcome;
ALTER INDEX jobs_expiring RENAME TO host_jobs_expiring;
ALTER INDEX jobs_pkey RENAME TO host_jobs_pkey;
ALTER INDEX job_logs_pkey RENAME TO host_job_logs_pkey;
ALTER INDEX tasks_pkey RENAME TO host_tasks_pkey;
ALTER INDEX schedules_pkey RENAME TO host_schedules_pkey;
ALTER INDEX schedulers_pkey RENAME TO host_schedulers_pkey;
ALTER INDEX plugin_versions_pkey RENAME TO host_plugin_versions_pkey;
ALTER INDEX plugin_bytes_pkey RENAME TO host_plugin_bytes_pkey;

-- A fire is made once in each life of a schedule: one that is replaced, or removed and added again, begins another. What is here
-- belongs to the first.
ALTER TABLE host_schedules ADD COLUMN life BIGINT NOT NULL DEFAULT 0;
ALTER TABLE host_jobs ADD COLUMN schedule_life BIGINT NOT NULL DEFAULT 0;
DROP INDEX jobs_fire;
CREATE UNIQUE INDEX host_jobs_fire ON host_jobs (schedule_id, schedule_life, scheduled_fire_time) WHERE schedule_id IS NOT NULL AND scheduled_fire_time IS NOT NULL;

ALTER TABLE host_schedulers ADD COLUMN incarnation TEXT COLLATE "C" NOT NULL DEFAULT 'unknown';
ALTER TABLE host_schedulers ADD COLUMN memory TEXT COLLATE "C";

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

ALTER TABLE host_jobs ADD COLUMN claim_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE host_jobs ADD COLUMN concurrency_key TEXT COLLATE "C";
ALTER TABLE host_jobs ADD COLUMN key_place BIGINT;
ALTER TABLE host_jobs ADD COLUMN task_place BIGINT;
ALTER TABLE host_tasks ADD COLUMN max_running_per_key BIGINT;
ALTER TABLE host_schedulers ADD COLUMN work TEXT;
CREATE INDEX host_jobs_task_places ON host_jobs (task_id, task_place, sort_key, id) WHERE task_place IS NOT NULL;
CREATE INDEX host_jobs_key_places ON host_jobs (task_id, concurrency_key, key_place, sort_key, id) WHERE key_place IS NOT NULL;

-- How many jobs may run at once, of a task (concurrency_key is empty) and of each concurrency key of a task, if that is limited.
-- taken: how many run or may be claimed, which are those with task_place = 1, or key_place = 1.
CREATE TABLE host_groups (
    task_id TEXT COLLATE "C" NOT NULL,
    concurrency_key TEXT COLLATE "C" NOT NULL,
    max_running BIGINT NOT NULL,
    taken BIGINT NOT NULL,
    PRIMARY KEY (task_id, concurrency_key)
);

CREATE TABLE host_queues (
    name TEXT COLLATE "C" PRIMARY KEY,
    paused BIGINT NOT NULL
);

-- Jobs wait by what they need, no longer by their task: the executor that they name, else the usual one of what they run.
UPDATE host_tasks SET max_running_per_key = 1;
UPDATE host_jobs SET claim_key = 'default/' || CASE
        WHEN settings LIKE '{"executor":"%' THEN substring(settings from '^\{"executor":"([^"]*)"')
        ELSE COALESCE((SELECT CASE WHEN t.plugin_name IS NULL THEN 'inline' ELSE 'wasm' END FROM host_tasks AS t WHERE t.id = host_jobs.task_id), '')
    END
    || COALESCE((SELECT CASE WHEN t.plugin_name IS NULL THEN ':' || t.function_name END FROM host_tasks AS t WHERE t.id = host_jobs.task_id), '')
WHERE state <> 'finished';
UPDATE host_jobs SET task_place = 1
WHERE state = 'running' AND EXISTS (SELECT 1 FROM host_tasks AS t WHERE t.id = host_jobs.task_id AND t.max_running IS NOT NULL);
UPDATE host_jobs SET ready_key = NULL, task_place = 0
WHERE ready_key IS NOT NULL AND task_place IS NULL
    AND EXISTS (SELECT 1 FROM host_tasks AS t WHERE t.id = host_jobs.task_id AND t.max_running IS NOT NULL);
UPDATE host_jobs SET ready_key = claim_key WHERE ready_key IS NOT NULL;
UPDATE host_jobs SET ready_key = claim_key, task_place = 1 WHERE id IN (
    SELECT turns.id FROM (
        SELECT j.id, j.task_id, ROW_NUMBER() OVER (PARTITION BY j.task_id ORDER BY j.sort_key, j.id) AS turn
        FROM host_jobs AS j WHERE j.task_place = 0
    ) AS turns JOIN (
        SELECT t.id, t.max_running - (SELECT COUNT(*) FROM host_jobs AS r WHERE r.task_id = t.id AND r.task_place = 1) AS room
        FROM host_tasks AS t WHERE t.max_running IS NOT NULL
    ) AS rooms ON rooms.id = turns.task_id AND turns.turn <= rooms.room
);
INSERT INTO host_groups (task_id, concurrency_key, max_running, taken)
SELECT t.id, '', t.max_running, (SELECT COUNT(*) FROM host_jobs AS j WHERE j.task_id = t.id AND j.task_place = 1)
FROM host_tasks AS t WHERE t.max_running IS NOT NULL;
