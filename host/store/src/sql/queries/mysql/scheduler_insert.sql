-- scheduler_insert
-- IGNORE, because the number of touched rows must tell whether the identity was free.
INSERT IGNORE INTO host_schedulers (id, role, started_at, seen_at, stopped_at, incarnation, memory, work)
?rows(t t i i i t t t)
