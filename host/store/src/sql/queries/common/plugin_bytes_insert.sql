-- plugin_bytes_insert
INSERT INTO plugin_bytes (digest, part, content)
?rows(b i b)
