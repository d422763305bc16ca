-- The group that a job was put into, so that its jobs are found together.

ALTER TABLE host_jobs
    ADD COLUMN job_group VARCHAR(191),
    ADD INDEX host_jobs_of_group (job_group, id);
