-- migration_unlock
-- The lock ends with its transaction.
SELECT 1
