-- kv_bucket_list
SELECT name, revision, key_count, byte_count FROM host_kv_buckets ORDER BY name
