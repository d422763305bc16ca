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
    CHANGE COLUMN lane ready_key VARCHAR(255),
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

ALTER TABLE host_schedulers ADD COLUMN incarnation VARCHAR(191) NOT NULL DEFAULT 'unknown';
ALTER TABLE host_schedulers ADD COLUMN memory LONGTEXT;

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

ALTER TABLE host_jobs
    ADD COLUMN claim_key VARCHAR(255) NOT NULL DEFAULT '',
    ADD COLUMN concurrency_key VARCHAR(191),
    ADD COLUMN key_place BIGINT,
    ADD COLUMN task_place BIGINT;
ALTER TABLE host_tasks ADD COLUMN max_running_per_key BIGINT;
ALTER TABLE host_schedulers ADD COLUMN work LONGTEXT;
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

-- Jobs wait by what they need, no longer by their task: the executor that they name, else the usual one of what they run.
UPDATE host_tasks SET max_running_per_key = 1;
UPDATE host_jobs SET claim_key = CONCAT('default/', CASE
        WHEN settings LIKE '{"executor":"%' THEN SUBSTRING_INDEX(SUBSTRING(settings, 14), '"', 1)
        ELSE COALESCE((SELECT CASE WHEN t.plugin_name IS NULL THEN 'inline' ELSE 'wasm' END FROM host_tasks AS t WHERE t.id = host_jobs.task_id), '')
    END,
    COALESCE((SELECT CASE WHEN t.plugin_name IS NULL THEN CONCAT(':', t.function_name) END FROM host_tasks AS t WHERE t.id = host_jobs.task_id), ''))
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
INSERT IGNORE INTO host_groups (task_id, concurrency_key, max_running, taken)
SELECT t.id, '', t.max_running, (SELECT COUNT(*) FROM host_jobs AS j WHERE j.task_id = t.id AND j.task_place = 1)
FROM host_tasks AS t WHERE t.max_running IS NOT NULL;
