-- job_gone_select
SELECT id FROM host_jobs WHERE expires_at <= ? AND state = 'finished' ORDER BY expires_at, id LIMIT ? /*claim*/
