-- migrations_exist
SELECT CASE WHEN to_regclass('host_migrations') IS NULL THEN 0 ELSE 1 END
