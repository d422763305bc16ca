//! A program of its own that runs jobs and fires no schedules, while another one (or `host serve --role scheduler`) fires them. Any number
//! of both may work on one store.
//!
//! ```text
//! cargo run -p host --example worker -- postgres://localhost/jobs
//! ```

use host::Host;
use host::app::AppError;
use host::config::Role;
use host::embed::{Builder, Task, TaskContext};
use host::model::{LogLevel, Settings};

/// What both programs have: the store and the tasks that they know.
pub fn common(store: &str) -> Builder {
    let resize = |context: TaskContext, file: String, width: u32| async move {
        context.log(LogLevel::Info, &format!("{file} becomes {width} wide"));
        anyhow::Ok(format!("{file}@{width}"))
    };
    let resize = Task::new("resize", resize)
        .description("makes a picture smaller")
        .parameters(["file", "width"])
        .settings(Settings { max_attempts: Some(3), ..Settings::default() });
    Host::builder().store(store).auto_migrate().with_task(resize)
}

/// The program that runs jobs.
pub async fn worker(store: &str) -> Result<Host, AppError> {
    common(store).role(Role::Worker).max_concurrent_jobs(4).start().await
}

/// The program that only asks for them: it is opened, and not started.
pub async fn client(store: &str) -> Result<Host, AppError> {
    common(store).open().await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(store) = std::env::args().nth(1) else { anyhow::bail!("usage: worker STORE-URL") };
    let host = worker(&store).await?;
    host.run_until_stopped().await?;
    host.close().await;
    Ok(())
}
