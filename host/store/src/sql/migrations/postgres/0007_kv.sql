-- What plugins keep between jobs. revision: the last version that a key of the bucket got; key_count and byte_count: of its entries, as they
-- count against the size that a bucket may have.
CREATE TABLE host_kv_buckets (
    name TEXT COLLATE "C" PRIMARY KEY,
    revision BIGINT NOT NULL,
    key_count BIGINT NOT NULL,
    byte_count BIGINT NOT NULL
);

CREATE TABLE host_kv_entries (
    bucket TEXT COLLATE "C" NOT NULL,
    item TEXT COLLATE "C" NOT NULL,
    content BYTEA NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (bucket, item)
);
