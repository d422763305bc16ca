-- job_only_select
SELECT task_id, result_ttl, deadline, wakes_at, lane, place FROM jobs WHERE id = ? AND state = 'queued' /*lock*/
