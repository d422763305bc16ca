-- job_relane_task
UPDATE jobs SET lane = ? WHERE lane = ? AND task_id = ?
