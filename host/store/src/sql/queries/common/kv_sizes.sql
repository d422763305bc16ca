-- kv_sizes
SELECT e.bucket, e.item, e.version, OCTET_LENGTH(e.content) FROM host_kv_entries AS e
JOIN ?table(bucket t, item t) ON e.bucket = v.bucket AND e.item = v.item
