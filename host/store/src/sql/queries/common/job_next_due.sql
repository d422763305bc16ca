-- job_next_due
SELECT MIN(run_at) FROM host_jobs WHERE run_at > ?
