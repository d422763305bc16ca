-- kv_get
SELECT content, version, updated_at FROM host_kv_entries WHERE bucket = ? AND item = ?
