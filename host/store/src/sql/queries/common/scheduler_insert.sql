-- scheduler_insert
INSERT INTO host_schedulers (id, role, started_at, seen_at, stopped_at, incarnation, memory)
?rows(t t i i i t t)
ON CONFLICT DO NOTHING
