-- job_unfinished_select
-- Said so that only the index has the order: the planner would else walk through all jobs of the schedule, hoping for many that have not ended.
SELECT id, state FROM host_jobs WHERE schedule_id >= ? AND schedule_id <= $1 AND outcome IS NULL
ORDER BY schedule_id DESC, outcome DESC, id DESC LIMIT ?
