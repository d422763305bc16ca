-- job_ready_candidates
/*each*/ SELECT * FROM (SELECT ready_key, sort_key, id FROM host_jobs FORCE INDEX (host_jobs_ready) WHERE ready_key = ? ORDER BY sort_key, id LIMIT ?) AS candidates
