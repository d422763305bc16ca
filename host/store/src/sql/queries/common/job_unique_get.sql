-- job_unique_get
-- Locked, so that it is read as it is now, whatever the transaction saw before.
SELECT id FROM host_jobs WHERE unique_key = ? AND task_id = ? /*lock*/
