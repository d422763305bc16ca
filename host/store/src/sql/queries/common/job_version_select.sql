-- job_version_select
SELECT id, task_id, plugin_digest, settings FROM host_jobs WHERE id IN (?*)
