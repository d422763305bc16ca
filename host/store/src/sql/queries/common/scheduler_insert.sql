-- scheduler_insert
INSERT INTO host_schedulers (id, role, started_at, seen_at, stopped_at, incarnation, memory, work)
?rows(t t i i i t t t)
ON CONFLICT DO NOTHING
