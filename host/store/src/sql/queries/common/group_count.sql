-- group_count
SELECT CASE WHEN ? = '' THEN (SELECT COUNT(*) FROM host_jobs WHERE task_id = ? AND task_place = 1)
    ELSE (SELECT COUNT(*) FROM host_jobs WHERE task_id = ? AND concurrency_key = ? AND key_place = 1) END
