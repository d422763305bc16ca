-- queue_put
INSERT INTO host_queues (name, paused)
?rows(t i)
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused
