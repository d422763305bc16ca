-- task_jobs
SELECT id, settings FROM host_jobs WHERE task_id = ? AND id > ? AND state <> 'finished' ORDER BY id LIMIT ?
