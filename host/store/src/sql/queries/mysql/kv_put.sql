-- kv_put
INSERT INTO host_kv_entries (bucket, item, content, version, updated_at)
?rows(t t b i i)
ON DUPLICATE KEY UPDATE content = VALUES(content), version = VALUES(version), updated_at = VALUES(updated_at)
