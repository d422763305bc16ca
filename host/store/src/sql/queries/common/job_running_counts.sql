-- job_running_counts
SELECT task_id, COUNT(*) FROM host_jobs WHERE state = 'running' AND task_id IN (?*) GROUP BY task_id
