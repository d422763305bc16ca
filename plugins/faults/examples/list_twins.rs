//! A plugin with two tasks of one name, which its SDK answers with a panic that names both places.

use guest_sdk::task;

#[task(name = "twin")]
fn first() {}

#[task(name = "twin")]
fn second() {}
