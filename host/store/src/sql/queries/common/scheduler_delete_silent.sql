-- scheduler_delete_silent
DELETE FROM schedulers WHERE seen_at < ?
