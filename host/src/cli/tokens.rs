//! `host tokens`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::Context;
use super::exit::Outcomes;
use super::output::time;
use crate::app::{NewToken, TokenInfo};
use crate::config::units::parse_duration;
use crate::model::{Permission, TokenName};
use crate::wire;

#[derive(Debug, Args)]
pub(super) struct TokensArgs {
    #[command(subcommand)]
    command: Option<TokensCommand>,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// List tokens, what they allow and when they were used (also without any subcommand)
    List,
    /// Make a token for the HTTP interface, and print it this once
    ///
    /// It is stored as a hash: whoever loses it revokes it, and makes another one. Servers know it at once.
    Create(CreateArgs),
    /// Make a token useless, within 2 seconds on every server, with the sessions and streams that were opened with it
    Revoke {
        /// The token
        name: TokenName,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What it is called in lists and in the audit
    name: TokenName,
    /// What it allows: read, submit, cancel, retry, delete, schedules, plugins, or admin for all of these and more
    #[arg(long, value_name = "PERMISSIONS", value_delimiter = ',', required = true)]
    allow: Vec<Permission>,
    /// How long it is good for, such as `90d` [default: until it is revoked]
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    expires: Option<Duration>,
}

pub(super) async fn run(context: &mut Context, args: TokensArgs) -> Outcomes {
    match args.command.unwrap_or(TokensCommand::List) {
        TokensCommand::List => list(context).await,
        TokensCommand::Create(args) => create(context, args).await,
        TokensCommand::Revoke { name } => {
            context.app().await?.token_revoke(&name).await?;
            if context.out.json {
                return Ok(context.out.json(&json!({"name": name.as_str(), "revoked": true}))?);
            }
            Ok(context.out.line(&format!("token `{name}` is revoked"))?)
        }
    }
}

async fn list(context: &mut Context) -> Outcomes {
    let app = context.app().await?;
    let (page, now) = (app.token_list().await?, app.now().await?);
    context.out.unreadable("token", &page.unreadable)?;
    if context.out.json {
        return Ok(context.out.json(&page.rows.iter().map(wire::token).collect::<Vec<_>>())?);
    }
    if page.rows.is_empty() {
        return Ok(context.out.note("there are no tokens but those of the machines")?);
    }
    let row = |token: &TokenInfo| {
        let permissions: Vec<&str> = token.permissions.iter().map(Permission::as_str).collect();
        let expires = match token.expires_at {
            None => "never".to_owned(),
            Some(at) if token.has_expired(now) => format!("{} (it has)", time(at)),
            Some(at) => time(at),
        };
        let used = token.last_used_at.map_or_else(|| "never".to_owned(), time);
        vec![token.name.to_string(), permissions.join(", "), expires, used]
    };
    let rows = page.rows.iter().map(row).collect();
    Ok(context.out.table(&["TOKEN", "ALLOWS", "EXPIRES", "LAST USED"], rows)?)
}

async fn create(context: &mut Context, args: CreateArgs) -> Outcomes {
    let CreateArgs { name, allow, expires } = args;
    let new = NewToken { name, permissions: allow.into_iter().collect(), lifetime: expires };
    let created = context.app().await?.token_create(new).await?;
    if context.out.json {
        return Ok(context.out.json(&wire::created_token(&created))?);
    }
    context.out.note("this is the only time that the token is shown")?;
    Ok(context.out.line(&created.text)?)
}
