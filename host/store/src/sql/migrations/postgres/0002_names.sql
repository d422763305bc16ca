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

ALTER TABLE host_jobs RENAME COLUMN lane TO partition_key;
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
