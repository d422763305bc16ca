-- job_ready_claim
SELECT id, key_place, task_place FROM host_jobs FORCE INDEX (host_jobs_ready) WHERE ready_key = ? ORDER BY sort_key, id LIMIT ? /*claim*/
