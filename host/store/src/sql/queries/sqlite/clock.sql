-- clock
-- The same machine: the caller's clock is as good.
SELECT NULL
