-- key_last
/*each*/ SELECT * FROM (SELECT task_id, concurrency_key, sort_key, id FROM host_jobs FORCE INDEX (host_jobs_key_places) WHERE task_id = ? AND concurrency_key = ? AND key_place = 1 AND state = 'queued' ORDER BY sort_key DESC, id DESC LIMIT ?) AS candidates
