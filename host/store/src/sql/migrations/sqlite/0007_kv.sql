-- What plugins keep between jobs. revision: the last version that a key of the bucket got; key_count and byte_count: of its entries, as they
-- count against the size that a bucket may have.
CREATE TABLE host_kv_buckets (
    name TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    key_count INTEGER NOT NULL,
    byte_count INTEGER NOT NULL
);

CREATE TABLE host_kv_entries (
    bucket TEXT NOT NULL,
    item TEXT NOT NULL,
    content BLOB NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (bucket, item)
);
