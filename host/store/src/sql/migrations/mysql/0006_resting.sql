-- How many schedules are paused is counted without a walk through all of them. Those that fire are not in this index, or do not move in it.
CREATE INDEX host_schedules_resting ON host_schedules (paused);
