-- fire_trim_select
-- Lines are written in the order of time, so that the first one of a schedule is the oldest.
SELECT id, fires FROM host_schedules
WHERE id > ? AND fires > 0 AND (
    EXISTS (SELECT 1 FROM host_fires WHERE schedule_id = host_schedules.id AND number <= host_schedules.fires - ?)
    OR (SELECT at FROM host_fires WHERE schedule_id = host_schedules.id ORDER BY number LIMIT 1) < ?)
ORDER BY id LIMIT ?
