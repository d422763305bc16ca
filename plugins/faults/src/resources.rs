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

/// Begins to list a folder, this many times, keeps every listing, and answers with how many it got.
#[task(max_running_jobs = none)]
fn hoards_listings(path: String, times: usize) -> usize {
    let begin = |_| {
        let mut listing = std::fs::read_dir(&path).ok()?;
        listing.next()?.ok()?;
        Some(listing)
    };
    let listings: Vec<_> = (0..times).map_while(begin).collect();
    listings.len()
}

/// Writes this many files of this many bytes each into a folder.
#[task(max_running_jobs = none)]
fn writes_files(path: String, files: usize, bytes: usize) -> Result<(), guest_sdk::TaskError> {
    use guest_sdk::OrPermanent as _;
    let content = vec![b'x'; bytes];
    (0..files).try_for_each(|file| std::fs::write(format!("{path}/{file}"), &content).or_permanent())
}

/// Prints this many empty lines, 10,000 at a time.
#[task(max_running_jobs = none)]
fn prints_line_ends(lines: usize) {
    use std::io::Write as _;
    let (block, mut out) = ([b'\n'; 10_000], std::io::stdout().lock());
    for _ in 0..lines.div_ceil(block.len()) {
        if out.write_all(&block).is_err() {
            return;
        }
    }
}

/// Takes this many bytes of memory, makes a file to show it, and keeps them until it is cancelled.
#[task(max_running_jobs = none)]
fn holds_memory(ctx: &guest_sdk::Context, bytes: usize, marker: String) -> usize {
    let mut memory = vec![0_u8; bytes];
    memory.iter_mut().step_by(4_096).for_each(|byte| *byte = 1);
    if std::fs::write(marker, "").is_err() {
        return 0;
    }
    while !ctx.is_cancelled() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    black_box(memory).len()
}

/// Asks for what is known of an open file, this many times.
#[task(max_running_jobs = none)]
fn looks_at(path: String, times: usize) -> Result<usize, guest_sdk::TaskError> {
    use guest_sdk::OrPermanent as _;
    let file = std::fs::File::open(path).or_permanent()?;
    Ok((0..times).filter(|_| black_box(file.metadata()).is_ok()).count())
}

/// Sleeps for the shortest time there is, this many times.
#[task(max_running_jobs = none)]
fn naps(times: usize) {
    (0..times).for_each(|_| std::thread::sleep(std::time::Duration::from_nanos(1)));
}

/// Makes a folder in a folder in a folder …, this deep.
#[task(max_running_jobs = none)]
fn nests_folders(path: String, depth: usize) -> Result<(), guest_sdk::TaskError> {
    use guest_sdk::OrPermanent as _;
    let mut path = std::path::PathBuf::from(path);
    (0..depth).try_for_each(|_| {
        path.push("d");
        std::fs::create_dir(&path).or_permanent()
    })
}

/// Makes a file of this length, of which nothing is written.
#[task(max_running_jobs = none)]
fn sets_length(path: String, bytes: u64) -> Result<(), guest_sdk::TaskError> {
    use guest_sdk::OrPermanent as _;
    std::fs::File::create(path).and_then(|file| file.set_len(bytes)).or_permanent()
}
