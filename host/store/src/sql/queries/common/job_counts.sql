-- job_counts
SELECT
    (SELECT COUNT(*) FROM host_jobs WHERE partition_key IS NOT NULL) + (SELECT COUNT(*) FROM host_jobs WHERE run_at IS NOT NULL),
    (SELECT COUNT(*) FROM host_jobs WHERE state = 'running'),
    (SELECT COUNT(*) FROM host_jobs)
