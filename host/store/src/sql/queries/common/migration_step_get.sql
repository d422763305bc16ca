-- migration_step_get
SELECT checksum, begun FROM host_migration_steps WHERE version = ?
