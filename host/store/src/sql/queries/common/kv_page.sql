-- kv_page
SELECT item, content, version, updated_at FROM host_kv_entries
WHERE bucket = ? AND item > ? ORDER BY item LIMIT ?
