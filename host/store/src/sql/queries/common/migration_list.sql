-- migration_list
SELECT version, name FROM host_migrations ORDER BY version
