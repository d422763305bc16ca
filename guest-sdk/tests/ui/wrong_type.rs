use guest_sdk::task;

struct Opaque;

#[task]
fn takes(value: Opaque) {
    drop(value);
}

#[task]
fn returns() -> Opaque {
    Opaque
}

#[task]
fn fails() -> Result<(), Opaque> {
    Ok(())
}

fn main() {}
