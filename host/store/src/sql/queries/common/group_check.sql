-- group_check
-- Groups whose count is wrong, or that hold jobs back although there is room.
SELECT task_id, concurrency_key FROM (
    SELECT g.task_id, g.concurrency_key, g.max_running, g.taken,
        CASE WHEN g.concurrency_key = ''
            THEN (SELECT COUNT(*) FROM host_jobs AS j WHERE j.task_id = g.task_id AND j.task_place = 1)
            ELSE (SELECT COUNT(*) FROM host_jobs AS j WHERE j.task_id = g.task_id AND j.concurrency_key = g.concurrency_key AND j.key_place = 1)
        END AS counted,
        CASE WHEN g.concurrency_key = ''
            THEN (SELECT 1 FROM host_jobs AS j WHERE j.task_id = g.task_id AND j.task_place = 0 LIMIT 1)
            ELSE (SELECT 1 FROM host_jobs AS j WHERE j.task_id = g.task_id AND j.concurrency_key = g.concurrency_key AND j.key_place = 0 LIMIT 1)
        END AS waiting
    FROM host_groups AS g
) AS checked WHERE taken <> counted OR (waiting = 1 AND counted < max_running)
ORDER BY task_id, concurrency_key
