-- job_probe
-- What an acquisition has to look at, in one answer: a lease under this token, missed deadlines, jobs that have become due.
SELECT
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE lease_holder = ? AND lease_token = ?) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE deadline < ?) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE wakes_at <= ?) THEN 1 ELSE 0 END,
    (SELECT value FROM host_numbers WHERE name = 'catalog_revision')
