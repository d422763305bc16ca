-- kv_delete
DELETE FROM host_kv_entries WHERE bucket = ? AND item IN (?*)
