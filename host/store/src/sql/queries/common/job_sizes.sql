-- job_sizes
SELECT id, OCTET_LENGTH(args) + COALESCE(OCTET_LENGTH(result), 0) FROM host_jobs WHERE id > ? ORDER BY id LIMIT ?
