-- queue_counts
-- Paused queues, what is due by key, what runs by key.
SELECT 'paused', name, 0 FROM host_queues WHERE paused = 1
UNION ALL SELECT 'waiting', claim_key, COUNT(*) FROM host_jobs WHERE outcome IS NULL AND state = 'queued' AND run_at IS NULL GROUP BY claim_key
UNION ALL SELECT 'running', claim_key, COUNT(*) FROM host_jobs WHERE state = 'running' GROUP BY claim_key
