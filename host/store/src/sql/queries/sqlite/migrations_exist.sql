-- migrations_exist
SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'host_migrations'
