-- queue_lock
SELECT paused FROM host_queues WHERE name = ? /*lock*/
