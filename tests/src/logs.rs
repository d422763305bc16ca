//! What the program has logged, for tests of what an operator is told.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// The lines that were logged on this thread, and on the threads of the program that were started from it, while this lives.
pub struct Logs {
    text: Text,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logs {
    /// Begins to gather.
    pub fn of_this_thread() -> Logs {
        let text = Text::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            // As `host serve` has it: what the drivers have to say is told once by us.
            .with_env_filter("info,sqlx=error,async_nats=off")
            .with_writer(move || writer.clone())
            .finish();
        Logs { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// How many warnings and errors there are.
    pub fn warnings(&self) -> usize {
        self.warnings_about("")
    }

    /// How many warnings and errors there are with these words.
    pub fn warnings_about(&self, words: &str) -> usize {
        let text = self.to_string();
        let is_warning = |line: &&str| line.contains(" WARN ") || line.contains("ERROR ");
        text.lines().filter(is_warning).filter(|line| line.contains(words)).count()
    }

    /// How many lines there are with these words.
    pub fn lines_about(&self, words: &str) -> usize {
        self.to_string().lines().filter(|line| line.contains(words)).count()
    }
}

impl fmt::Display for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.text.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.write_str(&String::from_utf8_lossy(&bytes))
    }
}
