-- kv_keys
-- The first condition on the item is the beginning of the prefix, the second the place of the page.
SELECT item, OCTET_LENGTH(content), version, updated_at FROM host_kv_entries
WHERE bucket = ? AND item >= ? AND item > ? ORDER BY item LIMIT ?
