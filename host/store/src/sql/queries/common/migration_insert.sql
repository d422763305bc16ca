-- migration_insert
INSERT INTO host_migrations (version, name, applied_at)
?rows(i t i)
