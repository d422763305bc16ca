-- scheduler_delete_silent
DELETE FROM host_schedulers WHERE seen_at < ?
