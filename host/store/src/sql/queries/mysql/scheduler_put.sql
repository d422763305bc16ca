-- scheduler_put
INSERT INTO host_schedulers (id, role, started_at, seen_at, stopped_at, memory)
?rows(t t i i i t)
ON DUPLICATE KEY UPDATE
    role = VALUES(role),
    started_at = VALUES(started_at),
    seen_at = VALUES(seen_at),
    stopped_at = VALUES(stopped_at),
    memory = VALUES(memory)
