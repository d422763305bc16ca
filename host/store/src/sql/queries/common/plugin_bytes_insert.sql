-- plugin_bytes_insert
INSERT INTO host_plugin_bytes (digest, part, content)
?rows(b i b)
