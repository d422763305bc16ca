-- Names that no other program uses: tables, indexes and views begin with `host_`. Columns get the names that the field uses.

DROP VIEW IF EXISTS v_jobs;
DROP VIEW IF EXISTS v_schedules;

RENAME TABLE
    jobs TO host_jobs,
    job_logs TO host_job_logs,
    tasks TO host_tasks,
    schedules TO host_schedules,
    schedulers TO host_schedulers,
    plugin_versions TO host_plugin_versions,
    plugin_bytes TO host_plugin_bytes;

ALTER TABLE host_jobs
    RENAME COLUMN lane TO partition_key,
    RENAME COLUMN wakes_at TO run_at,
    RENAME COLUMN place TO sort_key,
    RENAME COLUMN cost TO resource_usage,
    RENAME INDEX jobs_ready TO host_jobs_ready,
    RENAME INDEX jobs_waiting TO host_jobs_waiting,
    RENAME INDEX jobs_deadline TO host_jobs_deadline,
    RENAME INDEX jobs_running TO host_jobs_running,
    RENAME INDEX jobs_leased TO host_jobs_leased,
    RENAME INDEX jobs_task TO host_jobs_task,
    RENAME INDEX jobs_schedule TO host_jobs_schedule,
    RENAME INDEX jobs_outcome TO host_jobs_outcome,
    RENAME INDEX jobs_expiring TO host_jobs_expiring;
ALTER TABLE host_schedules
    RENAME COLUMN wakes_at TO run_at,
    RENAME INDEX schedules_due TO host_schedules_due,
    RENAME INDEX schedules_leased TO host_schedules_leased,
    RENAME INDEX schedules_task TO host_schedules_task;
ALTER TABLE host_tasks RENAME INDEX tasks_plugin TO host_tasks_plugin;

-- A fire is made once in each life of a schedule: one that is replaced, or removed and added again, begins another. What is here
-- belongs to the first.
ALTER TABLE host_schedules ADD COLUMN life BIGINT NOT NULL DEFAULT 0;
ALTER TABLE host_jobs
    ADD COLUMN schedule_life BIGINT NOT NULL DEFAULT 0,
    DROP INDEX jobs_fire,
    ADD UNIQUE INDEX host_jobs_fire (schedule_id, schedule_life, scheduled_fire_time);

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
