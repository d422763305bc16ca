-- kv_bucket_update
UPDATE host_kv_buckets SET revision = v.revision, key_count = v.key_count, byte_count = v.byte_count
FROM ?table(name t, revision i, key_count i, byte_count i)
WHERE host_kv_buckets.name = v.name
