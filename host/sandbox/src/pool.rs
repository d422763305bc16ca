//! Threads for calls that block, one pool for each purpose: when one purpose has all its threads waiting for a disk or a network that does
//! not answer, the others go on.

use std::panic::resume_unwind;

use tokio::runtime::{Builder, Runtime};

/// Threads of one purpose. They are started when they are needed.
///
/// Dropping it does not wait for calls that still block.
#[derive(Debug)]
pub(super) struct Pool(Option<Runtime>);

impl Pool {
    /// A pool of at most so many threads.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(super) fn start(name: &str, threads_max: usize) -> std::io::Result<Pool> {
        let runtime = Builder::new_current_thread().max_blocking_threads(threads_max).thread_name(name).build()?;
        Ok(Pool(Some(runtime)))
    }

    /// Runs a call that blocks. Dropping the future does not stop it.
    ///
    /// # Panics
    /// If the call does.
    pub(super) async fn run<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let runtime = self.0.as_ref()?;
        match runtime.spawn_blocking(call).await {
            Ok(answer) => Some(answer),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The pool is being dropped.
                Err(_cancelled) => None,
            },
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_pool_whose_threads_all_wait_holds_up_no_other() {
        let (held, other) = (Pool::start("held", 1).expect("starts"), Pool::start("other", 1).expect("starts"));
        let (release, wait) = mpsc::channel::<()>();
        let holding = held.run(move || wait.recv().is_ok());
        let answering = async {
            let answer = other.run(|| 7).await;
            release.send(()).expect("it waits");
            answer
        };
        let (released, answer) = tokio::join!(holding, answering);
        assert_eq!((released, answer), (Some(true), Some(7)));
    }
}
