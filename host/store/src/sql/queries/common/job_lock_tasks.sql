-- job_lock_tasks
-- Whoever claims jobs of a limited task does so alone; the order keeps two claims from waiting for each other.
SELECT id, max_running FROM host_tasks WHERE id IN (?*) ORDER BY id /*lock*/
