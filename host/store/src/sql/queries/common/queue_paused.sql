-- queue_paused
SELECT name FROM host_queues WHERE paused = 1
