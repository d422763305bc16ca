-- job_versions
-- What a pinned job names is looked for as a text: a job that cannot be read keeps what it may need, and one that only mentions a version as well.
SELECT plugin_digest, settings FROM host_jobs
WHERE state <> 'finished' AND (plugin_digest IS NOT NULL OR settings LIKE '%"version"%')
