-- job_wake
UPDATE jobs
SET lane = COALESCE((SELECT t.id FROM tasks AS t WHERE t.id = jobs.task_id AND t.max_running IS NOT NULL), ''),
    wakes_at = NULL
WHERE id IN (?*)
