-- scheduler_lock
SELECT id, role, started_at, seen_at, stopped_at, incarnation, memory, work FROM host_schedulers WHERE id = ? /*lock*/
