//! `host secrets`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::input::read_bytes;
use super::output::time;
use crate::app::{AppError, SecretInfo};
use crate::model::SecretName;
use crate::model::limits::SECRET_BYTES_MAX;

/// A line end and a byte more than a secret may have, so that one that is too long is seen.
const READ_MAX: u64 = SECRET_BYTES_MAX as u64 + 3;

#[derive(Debug, Args)]
pub(super) struct SecretsArgs {
    #[command(subcommand)]
    command: Option<SecretsCommand>,
}

#[derive(Debug, Subcommand)]
enum SecretsCommand {
    /// List secrets, without their values (also without any subcommand)
    List,
    /// Set the value of a secret, read from standard input unless another place is named
    ///
    /// One line end at the end of the value is not part of it. Attempts that begin afterwards use it; no plugin has to be registered again.
    Set(SetArgs),
    /// Remove the value of a secret
    Remove {
        /// The secret
        name: SecretName,
    },
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The secret
    name: SecretName,
    /// Read the value from a file
    #[arg(long, value_name = "FILE", conflicts_with = "from_env")]
    from_file: Option<PathBuf>,
    /// Read the value from an environment variable
    #[arg(long, value_name = "VARIABLE")]
    from_env: Option<String>,
}

pub(super) async fn run(context: &mut Context, args: SecretsArgs) -> Outcomes {
    match args.command.unwrap_or(SecretsCommand::List) {
        SecretsCommand::List => list(context).await,
        SecretsCommand::Set(args) => set(context, args).await,
        SecretsCommand::Remove { name } => {
            context.app().await?.secret_remove(&name).await?;
            if context.out.json {
                return Ok(context.out.json(&json!({"name": name.as_str(), "removed": true}))?);
            }
            Ok(context.out.line(&format!("secret `{name}` is removed"))?)
        }
    }
}

async fn list(context: &mut Context) -> Outcomes {
    let secrets = context.app().await?.secret_list().await?;
    if context.out.json {
        let row = |secret: &SecretInfo| {
            json!({
                "name": secret.name.as_str(),
                "set_at": secret.set_at.map(|at| at.to_string()),
                "granted_to": secret.granted_to.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        };
        return Ok(context.out.json(&secrets.iter().map(row).collect::<Vec<_>>())?);
    }
    if secrets.is_empty() {
        return Ok(context.out.note("no secret is set, and none is granted")?);
    }
    let row = |secret: &SecretInfo| {
        let plugins: Vec<&str> = secret.granted_to.iter().map(|name| name.as_str()).collect();
        vec![secret.name.to_string(), secret.set_at.map_or_else(|| "not set".to_owned(), time), plugins.join(", ")]
    };
    Ok(context.out.table(&["SECRET", "SET", "GRANTED TO"], secrets.iter().map(row).collect())?)
}

async fn set(context: &mut Context, args: SetArgs) -> Outcomes {
    let SetArgs { name, from_file, from_env } = args;
    let mut value = match (from_file, from_env) {
        (Some(file), _) => read_bytes(Some(file), READ_MAX)?,
        (None, Some(variable)) => {
            std::env::var_os(&variable).map(std::ffi::OsString::into_encoded_bytes).ok_or_else(|| {
                Failure::App(
                    AppError::not_found("environment variable", &variable)
                        .with_hint("export it, or use standard input"),
                )
            })?
        }
        (None, None) => {
            if std::io::stdin().is_terminal() {
                context.out.note("type the value, which is shown as you type, and end it with Ctrl-D")?;
            }
            read_bytes(None, READ_MAX)?
        }
    };
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    context.app().await?.secret_set(&name, &value).await?;
    if context.out.json {
        return Ok(context.out.json(&json!({"name": name.as_str(), "set": true}))?);
    }
    Ok(context.out.line(&format!("secret `{name}` is set"))?)
}
