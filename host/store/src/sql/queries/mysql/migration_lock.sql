-- migration_lock
-- 0 after a minute in which another session held it.
SELECT COALESCE(GET_LOCK(CONCAT('host-migrations-', DATABASE()), 60), 0)
