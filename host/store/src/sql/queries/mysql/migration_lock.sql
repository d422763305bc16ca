-- migration_lock
SELECT GET_LOCK(CONCAT('host-migrations-', DATABASE()), 60)
