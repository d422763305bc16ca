use guest_sdk::{Context, task};

#[task]
async fn asynchronous() {}

#[task]
fn generic<T: Default>(_value: T) {}

#[task]
unsafe fn dangerous() {}

#[task]
fn borrowed(names: &[String], context: &Context) -> usize {
    let _ = context;
    names.len()
}

#[task]
fn nameless((left, right): (u8, u8)) -> u8 {
    left + right
}

#[task]
fn opaque() -> impl Sized {}

#[task]
fn twice(#[arg(name = "b")] a: u8, b: u8) -> u8 {
    a + b
}

struct Service;
impl Service {
    #[task]
    fn method(&self) {}
}

#[task]
struct NotAFunction;

fn main() {}
