-- job_unfinished_select
-- Told which index: the planner would else walk through all jobs of the schedule, hoping for many that have not ended.
SELECT id, state FROM host_jobs FORCE INDEX (host_jobs_unfinished) WHERE schedule_id = ? AND outcome IS NULL ORDER BY id DESC LIMIT ?
