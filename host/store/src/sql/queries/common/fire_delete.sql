-- fire_delete
DELETE FROM host_fires WHERE schedule_id IN (?*)
