-- schedule_fires_set
UPDATE host_schedules SET fires = ? WHERE id = ?
