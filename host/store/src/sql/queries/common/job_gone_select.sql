-- job_gone_select
SELECT id FROM host_jobs WHERE expires_at <= ? ORDER BY expires_at, id LIMIT ? /*claim*/
