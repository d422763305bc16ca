-- scheduler_insert
INSERT INTO host_schedulers (id, role, started_at, seen_at, stopped_at, incarnation)
?rows(t t i i i t)
ON CONFLICT DO NOTHING
