//! More than there is.

use std::hint::black_box;

use guest_sdk::task;

/// Allocates without end, and writes to all of it.
#[task]
fn allocates() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

/// Takes this many bytes of memory, writes to each page, and answers with how many it got.
#[task(max_running_jobs = none)]
fn takes_memory(bytes: usize) -> usize {
    let mut memory = vec![0_u8; bytes];
    memory.iter_mut().step_by(4_096).for_each(|byte| *byte = 1);
    black_box(memory).len()
}

/// Works through about this many steps of arithmetic, so that fuel can be counted.
#[task(max_running_jobs = none)]
fn burns(steps: u64) -> u64 {
    (0..steps).fold(1, |sum: u64, step| black_box(sum.wrapping_mul(31).wrapping_add(step)))
}

/// Opens one handle after the other and keeps them, and answers with how many it got.
#[task]
fn opens_handles(path: String, times: usize) -> usize {
    let handles: Vec<_> = (0..times).map_while(|_| std::fs::File::open(&path).ok()).collect();
    handles.len()
}
