-- clock
-- In UTC, whatever the session's zone: a local time comes twice when clocks are put back.
SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))
