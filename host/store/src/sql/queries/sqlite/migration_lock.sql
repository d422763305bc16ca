-- migration_lock
-- The write transaction itself is the lock.
SELECT 1
