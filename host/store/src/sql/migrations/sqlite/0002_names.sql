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

-- A fire is made once in each life of a schedule: one that is replaced, or removed and added again, begins another. What is here
-- belongs to the first.
ALTER TABLE host_schedules ADD COLUMN life INTEGER NOT NULL DEFAULT 0;
ALTER TABLE host_jobs ADD COLUMN schedule_life INTEGER NOT NULL DEFAULT 0;

DROP INDEX tasks_plugin;
DROP INDEX schedules_due;
DROP INDEX schedules_leased;
DROP INDEX schedules_task;
DROP INDEX jobs_ready;
DROP INDEX jobs_waiting;
DROP INDEX jobs_deadline;
DROP INDEX jobs_running;
DROP INDEX jobs_leased;
DROP INDEX jobs_fire;
DROP INDEX jobs_task;
DROP INDEX jobs_schedule;
DROP INDEX jobs_outcome;
DROP INDEX jobs_expiring;
CREATE INDEX host_tasks_plugin ON host_tasks (plugin_name);
CREATE INDEX host_schedules_due ON host_schedules (run_at, id) WHERE run_at IS NOT NULL;
CREATE INDEX host_schedules_leased ON host_schedules (lease_holder, lease_token) WHERE lease_holder IS NOT NULL;
CREATE INDEX host_schedules_task ON host_schedules (task_id, id);
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
