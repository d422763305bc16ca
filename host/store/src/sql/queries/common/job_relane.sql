-- job_relane
UPDATE jobs SET lane = task_id WHERE lane = '' AND task_id IN (?*)
