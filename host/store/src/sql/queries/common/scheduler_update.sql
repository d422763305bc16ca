-- scheduler_update
UPDATE host_schedulers SET role = ?, started_at = ?, seen_at = ?, stopped_at = ?, incarnation = ?, memory = ?, work = ?
WHERE id = ?
