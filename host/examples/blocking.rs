//! A program without async: its functions block their threads, and the host has threads of its own.
//!
//! ```text
//! cargo run -p host --example blocking
//! ```

use std::time::Duration;

use host::Host;
use host::embed::{RunError, TaskContext, blocking};
use host::model::LogLevel;

fn count_words(context: TaskContext, text: String) -> Result<usize, std::io::Error> {
    let words = text.split_whitespace().count();
    context.log(LogLevel::Info, &format!("{words} words"));
    Ok(words)
}

/// Counts the words of a text, once now and then every hour for as long as the host lives.
pub fn count(text: &str) -> Result<usize, RunError> {
    let host = Host::builder().task("count-words", blocking(count_words)).start_blocking()?;
    host.every("count-words", "hourly", Duration::from_secs(3600), (text,))?;
    host.run("count-words", (text,))
}

fn main() -> anyhow::Result<()> {
    println!("{} words", count("the quick brown fox jumps over the lazy dog")?);
    Ok(())
}
