use guest_sdk::task;

#[task(timeout = 30)]
fn no_unit() {}

#[task(timeout = "30 sec")]
fn no_such_unit() {}

#[task(timeout = "0s")]
fn no_time() {}

#[task(memory = "64MB")]
fn decimal_size() {}

#[task(max_attempts = 0)]
fn never() {}

#[task(max_running_jobs = "many")]
fn many() {}

#[task(misfire_grace_time = None)]
fn not_rusts_none() {}

#[task(priority = 3_000_000_000)]
fn too_important() {}

#[task(backoff(factor = 0.5))]
fn ever_sooner() {}

#[task(metadata(owner = ops))]
fn no_value_of_json() {}

#[task(fuel)]
fn no_value() {}

#[task(metadata = "x")]
fn no_list() {}

fn main() {}
