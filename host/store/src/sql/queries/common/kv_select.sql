-- kv_select
SELECT e.bucket, e.item, e.content, e.version, e.updated_at FROM host_kv_entries AS e
JOIN ?table(bucket t, item t) ON e.bucket = v.bucket AND e.item = v.item
