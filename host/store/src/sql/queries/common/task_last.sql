-- task_last
/*each*/ SELECT * FROM (SELECT task_id, '' AS concurrency_key, sort_key, id FROM host_jobs WHERE task_id = ? AND task_place = 1 AND state = 'queued' ORDER BY sort_key DESC, id DESC LIMIT ?) AS candidates
