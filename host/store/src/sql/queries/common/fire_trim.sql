-- fire_trim
DELETE FROM host_fires WHERE schedule_id = ? AND (number <= ? OR at < ?)
