-- job_counts
-- All that have not finished, those that run, and all.
SELECT
    (SELECT COUNT(*) FROM host_jobs WHERE outcome IS NULL),
    (SELECT COUNT(*) FROM host_jobs WHERE state = 'running'),
    (SELECT COUNT(*) FROM host_jobs)
