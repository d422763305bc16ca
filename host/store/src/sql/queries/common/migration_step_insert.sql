-- migration_step_insert
INSERT INTO host_migration_steps (version, checksum, begun)
?rows(i t i)
