-- fire_list
SELECT number, first_due, last_due, due_count, or_more, at, fate, jobs, reason, is_end
FROM host_fires WHERE schedule_id = ? AND number < ? ORDER BY number DESC LIMIT ?
