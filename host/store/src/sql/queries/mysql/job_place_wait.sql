-- job_place_wait
-- Told which index: what another one leads through would be locked as well.
SELECT id, key_place, task_place FROM host_jobs FORCE INDEX (PRIMARY) WHERE id IN (?*) AND state = 'queued' ORDER BY id /*lock*/
