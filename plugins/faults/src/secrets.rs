//! Secrets, by guests that want more of them than they should.

use guest_sdk::{Context, TaskError, http, log, secrets, task};

/// The value of a secret.
#[task(max_running_jobs = none)]
fn reveals_secret(name: String) -> Result<String, secrets::Error> {
    secrets::reveal(&name)
}

/// The placeholder of a secret.
#[task(max_running_jobs = none)]
fn holds_secret(name: String) -> Result<String, secrets::Error> {
    secrets::placeholder(&name)
}

/// Says the value of a secret wherever something can be said, and fails with it.
#[task(max_running_jobs = none)]
fn tells_secret(ctx: &Context, name: String) -> Result<(), TaskError> {
    let value = secrets::reveal(&name)?;
    log::info!(value, "it is {value}");
    println!("out {value}");
    eprintln!("err {value}");
    ctx.progress_note(1, None, &format!("on the way with {value}"));
    Err(TaskError::permanent(format!("it does not work with {value}")).context(format!("nor with {value}")))
}

/// Sends a text, in which `SECRET` is the placeholder of a secret, as a header, in the path and as the body; answers with what came back.
#[task(max_running_jobs = none)]
fn sends_secret(
    name: String,
    url: String,
    #[arg(default)] header: Option<String>,
    #[arg(default)] path: Option<String>,
    #[arg(default)] body: Option<String>,
) -> Result<String, TaskError> {
    let placeholder = secrets::placeholder(&name)?;
    let with = |text: String| text.replace("SECRET", &placeholder);
    let encoded = placeholder.replace('{', "%7B").replace('}', "%7D");
    let mut request = http::post(url + &path.map(|path| path.replace("SECRET", &encoded)).unwrap_or_default());
    if let Some(header) = header {
        request = request.header("x-secret", with(header));
    }
    if let Some(body) = body {
        request = request.body(with(body));
    }
    Ok(String::from_utf8_lossy(&request.send()?.bytes()?).into_owned())
}

/// Asks for a secret without end.
#[task]
fn asks_for_secret_forever(name: String) -> Result<(), secrets::Error> {
    loop {
        secrets::placeholder(&name)?;
    }
}
