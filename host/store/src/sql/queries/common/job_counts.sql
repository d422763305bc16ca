-- job_counts
SELECT
    (SELECT COUNT(*) FROM jobs WHERE lane IS NOT NULL) + (SELECT COUNT(*) FROM jobs WHERE wakes_at IS NOT NULL),
    (SELECT COUNT(*) FROM jobs WHERE state = 'running'),
    (SELECT COUNT(*) FROM jobs)
