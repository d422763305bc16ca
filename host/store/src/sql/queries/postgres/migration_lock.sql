-- migration_lock
SELECT CASE WHEN pg_advisory_xact_lock(723845519, hashtext(current_schema())) IS NULL THEN 0 ELSE 1 END
