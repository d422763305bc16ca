use guest_sdk::task;

#[task(name = "copy files")]
fn blank() {}

#[task(name = "")]
fn empty() {}

#[task]
fn _begins_with_an_underscore() {}

fn main() {}
