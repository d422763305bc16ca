-- What plugins keep between jobs. revision: the last version that a key of the bucket got; key_count and byte_count: of its entries, as they
-- count against the size that a bucket may have.
CREATE TABLE host_kv_buckets (
    name VARCHAR(191) PRIMARY KEY,
    revision BIGINT NOT NULL,
    key_count BIGINT NOT NULL,
    byte_count BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE host_kv_entries (
    bucket VARCHAR(191) NOT NULL,
    item VARCHAR(191) NOT NULL,
    content LONGBLOB NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (bucket, item)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
