-- A unique key keeps a second job of its task from being queued: while a job has one, no other can get it. It goes with the job, or is
-- null from unique_until on, as soon as somebody asks for it.

ALTER TABLE host_jobs
    ADD COLUMN unique_key VARCHAR(191),
    ADD COLUMN unique_until BIGINT,
    ADD UNIQUE INDEX host_jobs_unique (unique_key, task_id);
