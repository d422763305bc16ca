-- job_weigh
SELECT id, OCTET_LENGTH(args) + COALESCE(OCTET_LENGTH(result), 0) FROM jobs WHERE id > ? ORDER BY id LIMIT ?
