-- kv_bucket_lock
SELECT name, revision, key_count, byte_count FROM host_kv_buckets WHERE name IN (?*) ORDER BY name /*lock*/
