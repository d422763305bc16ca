-- The first ready job of each task is found without a walk through those of the others.
CREATE INDEX host_jobs_ready_tasks ON host_jobs (ready_key, task_id, sort_key, id) WHERE ready_key IS NOT NULL;
