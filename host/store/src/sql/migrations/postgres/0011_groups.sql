-- The group that a job was put into, so that its jobs are found together.

ALTER TABLE host_jobs ADD COLUMN job_group TEXT COLLATE "C";
CREATE INDEX host_jobs_of_group ON host_jobs (job_group, id) WHERE job_group IS NOT NULL;
