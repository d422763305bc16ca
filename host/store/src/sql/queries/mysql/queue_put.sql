-- queue_put
INSERT INTO host_queues (name, paused)
?rows(t i)
ON DUPLICATE KEY UPDATE paused = VALUES(paused)
