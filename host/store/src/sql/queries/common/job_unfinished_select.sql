-- job_unfinished_select
SELECT id, state FROM host_jobs WHERE schedule_id = ? AND outcome IS NULL ORDER BY id DESC LIMIT ?
