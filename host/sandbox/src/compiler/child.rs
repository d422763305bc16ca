//! The side of the host: starts the process, feeds it, waits for it no longer than it may take, and says in words how it died.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use wasmtime::Engine;

use super::protocol::{self, Answer, Request};
use super::{CODE_BYTES_MAX, ChildCompiler, out_of_memory};
use crate::cache;
use crate::config::units::{format_duration, format_size};
use crate::executor::InspectError;
use crate::refusal::{Refusal as _, refused};

/// Most threads of one compiler. Each works on a function of its own and has the memory for that.
const THREADS_MAX: usize = 4;
/// What is kept of the last words of a compiler, in bytes.
const LAST_WORDS_BYTES_MAX: u64 = 4 << 10;

/// What came back from a child: its answer with the bytes that belong to it, or why it could not be read.
type Received = io::Result<(Answer, Vec<u8>)>;

impl ChildCompiler {
    /// The compiled code of `component`. Blocks until the process has ended.
    pub(super) fn compile(&self, engine: &Engine, component: &[u8]) -> Result<Vec<u8>, InspectError> {
        let request = Request {
            compatibility: cache::compatibility_text(engine),
            memory_bytes: self.limits.memory_bytes,
            processor_seconds: self.limits.timeout.as_secs().saturating_mul(threads() as u64).max(1),
            component_bytes: component.len() as u64,
        };
        let not_started = |error: io::Error| {
            refused("the compiler could not be started")
                .because(format!("{}: {error}", self.program.display()))
                .hint("it is a process of its own, run from the host's own file")
        };
        let mut child = self.start().map_err(not_started)?;
        let (input, output, errors) = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(input), Some(output), Some(errors)) => (input, output, errors),
            _ => return Err(not_started(io::Error::other("it has no pipes"))),
        };
        let (answer, status, last_words) = self.talk(&mut child, &request, component, (input, output, errors));
        // It is dead by now, and must not stay in the system's table.
        let _status = child.wait();
        match answer {
            Some(Ok((Answer::Compiled { .. }, code))) => Ok(code),
            Some(Ok((Answer::Refused { reason, context, hint }, _))) => Err(InspectError { reason, context, hint }),
            Some(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(refused("the compiler's answer cannot be read").because(error.to_string()).hint(format!(
                    "{} must be a program that can compile: see `host::executor::wasm::serve_if_asked`",
                    self.program.display()
                )))
            }
            Some(Err(_ended)) => Err(self.died(status, &last_words)),
            None => Err(self.out_of_time()),
        }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .arg(protocol::ARGUMENT)
            // Nothing that the host was started with, which may be secrets, is any business of the compiler.
            .env_clear()
            .env("RAYON_NUM_THREADS", threads().to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Sends the request, waits for the answer, which is `None` when time is over, and ends the child. Answers also how it ended, if it ended
    /// by itself instead of answering, and its last words.
    ///
    /// A thread for each pipe: whichever of them fills up or never ends, the others and the clock go on. All of them end with the child.
    fn talk(
        &self,
        child: &mut Child,
        request: &Request,
        component: &[u8],
        (input, output, errors): (ChildStdin, ChildStdout, ChildStderr),
    ) -> (Option<Received>, Option<ExitStatus>, String) {
        thread::scope(|scope| {
            let (sender, answers) = mpsc::channel();
            let sending = scope.spawn(move || send(input, request, component));
            let last_words = scope.spawn(move || last_words(errors));
            scope.spawn(move || {
                // The receiver lives as long as this scope.
                let _ = sender.send(receive(output));
            });
            let answer = answers.recv_timeout(self.limits.timeout).ok();
            let status = if matches!(answer, Some(Err(_))) { ended_by_itself(child) } else { None };
            let _gone = child.kill();
            // The child watches this pipe to see whether the host lives, so it was open until now.
            drop(sending.join());
            (answer, status, last_words.join().unwrap_or_default())
        })
    }

    fn out_of_time(&self) -> InspectError {
        refused("the compiler ran out of time on this component")
            .because(format!("it was stopped after {}", format_duration(self.limits.timeout)))
            .hint("give it more, with `timeout` under [compiler] in the config file, or build the plugin smaller")
    }

    fn out_of_memory(&self) -> InspectError {
        out_of_memory()
            .because(format!("it may have {}", format_size(self.limits.memory_bytes)))
            .hint("give it more, with `memory` under [compiler] in the config file, or build the plugin smaller")
    }

    /// Why a compiler died that did not answer.
    fn died(&self, status: Option<ExitStatus>, last_words: &str) -> InspectError {
        let Some(status) = status else {
            return refused("the compiler failed").because("it ended its answer before it had begun");
        };
        let signal = status.signal();
        let is = |name: Signal| signal == Some(name.as_raw());
        if is(Signal::XCPU) {
            return self.out_of_time();
        }
        // The words are those of Rust's allocator. A kill that is not ours is the system's, for want of memory.
        if last_words.contains("memory allocation of") || is(Signal::KILL) {
            return self.out_of_memory();
        }
        let reason = match status.code() {
            _ if last_words.contains("has overflowed its stack") => "the compiler used up its stack on this component",
            Some(101) => "the compiler panicked on this component",
            Some(_) => "the compiler failed",
            None => "the compiler crashed on this component",
        };
        let refusal = refused(reason).because(status.to_string());
        match last_words.lines().find(|line| !line.trim().is_empty()) {
            Some(words) => refusal.because(words),
            None => refusal,
        }
    }
}

/// How a child ended that has closed the pipe for its answer: most do that by ending.
fn ended_by_itself(child: &mut Child) -> Option<ExitStatus> {
    const PATIENCE: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 0..PATIENCE {
        match child.try_wait() {
            Ok(None) => thread::sleep(PAUSE),
            Ok(status) => return status,
            Err(_) => return None,
        }
    }
    None
}

/// Sends everything, and answers the open end of the pipe. A child that does not listen to the end is heard all the same.
fn send(mut input: ChildStdin, request: &Request, component: &[u8]) -> ChildStdin {
    let _ = protocol::write_line(&mut input, request).and_then(|()| input.write_all(component));
    input
}

fn receive(output: ChildStdout) -> io::Result<(Answer, Vec<u8>)> {
    let mut output = BufReader::new(output);
    let answer = protocol::read_line(&mut output)?;
    let code = match &answer {
        Answer::Compiled { code_bytes } => protocol::read_bytes(&mut output, *code_bytes, CODE_BYTES_MAX)?,
        Answer::Refused { .. } => Vec::new(),
    };
    Ok((answer, code))
}

/// The beginning of what the child says before it dies; the rest is read and thrown away.
fn last_words(mut errors: ChildStderr) -> String {
    let mut words = Vec::new();
    // Half of a sentence is better than none.
    let _ = (&mut errors).take(LAST_WORDS_BYTES_MAX).read_to_end(&mut words);
    let _ = io::copy(&mut errors, &mut io::sink());
    String::from_utf8_lossy(&words).into_owned()
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX)
}
