-- job_cancel_ask
-- A grace period that was asked for earlier holds where none is asked for now.
UPDATE host_jobs SET cancel_requested = 1, cancel_grace = COALESCE(?, cancel_grace) WHERE id = ?
