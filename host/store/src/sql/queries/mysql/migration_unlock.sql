-- migration_unlock
SELECT RELEASE_LOCK(CONCAT('host-migrations-', DATABASE()))
