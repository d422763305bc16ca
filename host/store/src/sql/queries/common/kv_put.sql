-- kv_put
INSERT INTO host_kv_entries (bucket, item, content, version, updated_at)
?rows(t t b i i)
ON CONFLICT (bucket, item) DO UPDATE SET content = excluded.content, version = excluded.version, updated_at = excluded.updated_at
