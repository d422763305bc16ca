-- scheduler_put
INSERT INTO host_schedulers (id, role, started_at, seen_at, stopped_at, memory)
?rows(t t i i i t)
ON CONFLICT (id) DO UPDATE SET
    role = excluded.role,
    started_at = excluded.started_at,
    seen_at = excluded.seen_at,
    stopped_at = excluded.stopped_at,
    memory = excluded.memory
