-- fire_insert
INSERT INTO host_fires (schedule_id, number, first_due, last_due, due_count, or_more, at, fate, jobs, reason, is_end)
?rows(t i i i i i i t b t i)
