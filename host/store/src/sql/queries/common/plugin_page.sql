-- plugin_page
SELECT is_current, rollout, name, digest, size_bytes, details, registered_at FROM host_plugin_versions
WHERE (name, digest) > (?, ?) ORDER BY name, digest LIMIT ?
