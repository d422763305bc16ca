//! A plugin with more tasks (289) than a host takes.

use guest_sdk::__private::{TaskEntry, submit};
use guest_sdk::Settings;

// The attribute wants a name written out, so these register themselves as its expansion would.
macro_rules! tasks {
    ($($first:ident)*) => { $( tasks! { @with $first a b c d e f g h i j k l m n o p q } )* };
    (@with $first:ident $($second:ident)*) => {$(
        submit! {
            TaskEntry {
                name: concat!("task-", stringify!($first), stringify!($second)),
                description: "",
                place: (file!(), line!()),
                parameters: &[],
                run: |args| Ok(args.clone()),
                describe: |_| {},
                settings: Settings::default,
            }
        }
    )*};
}

tasks! { a b c d e f g h i j k l m n o p q }
