-- job_unversioned
-- Jobs that run, and nobody has written down which version of their plugin.
SELECT id FROM host_jobs WHERE task_id = ? AND state = 'running' AND plugin_digest IS NULL
