use guest_sdk::task;

#[task(timeout = 30, fule = 5, priority = 1, priority = 2)]
fn task_with_three_faults(text: &str) -> usize {
    text.len()
}

fn main() {}
