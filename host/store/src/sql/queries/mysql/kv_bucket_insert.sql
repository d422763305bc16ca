-- kv_bucket_insert
INSERT INTO host_kv_buckets (name, revision, key_count, byte_count)
?rows(t i i i)
ON DUPLICATE KEY UPDATE name = host_kv_buckets.name
