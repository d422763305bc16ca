-- job_only_select
SELECT task_id, result_ttl, deadline, run_at, partition_key, sort_key FROM host_jobs WHERE id = ? AND state = 'queued' /*lock*/
