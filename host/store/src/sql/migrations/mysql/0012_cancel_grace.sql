-- How long a running job that was asked to stop may take for that, in microseconds, where whoever asked has said so.

ALTER TABLE host_jobs ADD COLUMN cancel_grace BIGINT;
