-- migration_unlock
-- See migration_lock.
SELECT 1
