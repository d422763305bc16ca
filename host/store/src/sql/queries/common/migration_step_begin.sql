-- migration_step_begin
UPDATE host_migration_steps SET begun = ? WHERE version = ?
