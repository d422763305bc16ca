use guest_sdk::task;

#[task(time_out = "30s")]
fn near() {}

#[task(colour = "red")]
fn far() {}

#[task(backoff(start = "1s"))]
fn part_of_backoff() {}

#[task]
fn part_of_arg(#[arg(defualt = 1)] number: u8) -> u8 {
    number
}

fn main() {}
