//! The `host` program from outside: what it prints, where, and how it ends.

mod answers;
mod backfill;
mod bad_input;
mod batch;
mod crontab;
mod granted_secrets;
mod help;
mod interrupts;
mod kv;
mod new;
mod queues;
mod review;
mod rollouts;
mod schedules;
mod secrets;
pub(crate) mod serving;
mod settings;
mod signatures;
mod top;
mod transfer;
mod triggers;
mod versions;

use tests::cli::User;

use crate::generated::{Encoding, Plugin};

/// The file of a plugin whose only task, `run`, imports nothing and answers with this JSON.
fn answering(user: &User, name: &str, answer: &str) -> String {
    let component = Plugin::returning(Encoding::Json, answer.as_bytes()).component();
    user.file(name, component).to_str().expect("the path is UTF-8").to_owned()
}
