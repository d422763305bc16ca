-- key_first
/*each*/ SELECT * FROM (SELECT task_id, concurrency_key, sort_key, id FROM host_jobs WHERE task_id = ? AND concurrency_key = ? AND key_place = 0 ORDER BY sort_key, id LIMIT ?) AS candidates
