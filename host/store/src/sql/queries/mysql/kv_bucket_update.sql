-- kv_bucket_update
UPDATE host_kv_buckets JOIN ?table(name t, revision i, key_count i, byte_count i) ON host_kv_buckets.name = v.name
SET host_kv_buckets.revision = v.revision, host_kv_buckets.key_count = v.key_count, host_kv_buckets.byte_count = v.byte_count
