//! Servers that refuse, and what the program says then: one line, its causes, the way out, and the documented exit code. Nothing changes.

use anyhow::{Context as _, Result, ensure};
use host::clock::SystemClock;
use host::store::sql::migrate;
use tests::backends::Backend;
use tests::cli::{Said, User};

use crate::{ask, block_on};

/// Commands that read, write, and stay.
const COMMANDS: [&[&str]; 3] = [&["status"], &["cleanup"], &["serve"]];

/// What is to be said: a part of the error, and a part of the hint.
struct Expected {
    error: &'static str,
    hint: &'static str,
}

/// The URL of an empty place.
fn url(backend: Backend) -> Result<String> {
    Ok(backend.place()?.context("the store has a place")?.url)
}

fn said(url: &str, command: &[&str]) -> Said {
    User::new().with_env("HOST_STORE", url).host(command)
}

/// Each of [`COMMANDS`] says what is expected, ends with 5, and never tells the password.
fn refused(url: &str, expected: &Expected) -> Result<()> {
    for command in COMMANDS {
        let said = said(url, command);
        let (error, hint) = said.err.split_once("\n\n").unwrap_or((&said.err, ""));
        ensure!(said.code == Some(5) && said.out.is_empty(), "{command:?}: {said:?}");
        ensure!(error.starts_with("error: ") && error.contains(expected.error), "{command:?}: {said:?}");
        ensure!(error.lines().skip(1).all(|line| line.starts_with("  ")), "causes are indented: {said:?}");
        ensure!(hint.starts_with("hint: ") && hint.contains(expected.hint), "{command:?}: {said:?}");
        let password = url.split(['@', ':']).nth(2).unwrap_or("secret");
        ensure!(!said.err.contains(password), "{command:?} tells the password: {said:?}");
    }
    Ok(())
}

pub(crate) fn wrong_password(backend: Backend) -> Result<()> {
    let url = url(backend)?.replace(":secret@", ":mistyped@");
    let hint = "check user and password in the store URL";
    refused(&url, &Expected { error: "refuses the user or the password", hint })
}

pub(crate) fn missing_database(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    let (place, _) = url.rsplit_once('/').context("a URL with a database")?;
    let expected = Expected { error: "has no such database", hint: "CREATE DATABASE" };
    refused(&format!("{place}/nowhere"), &expected)
}

pub(crate) fn no_server(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    let (before, rest) = url.split_once("127.0.0.1:").context("a URL with a port")?;
    let (_, database) = rest.split_once('/').context("a URL with a database")?;
    // Nothing listens on port 1.
    refused(
        &format!("{before}127.0.0.1:1/{database}"),
        &Expected { error: "the data store cannot be reached", hint: "check that its server runs" },
    )
}

pub(crate) fn foreign_table(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    block_on(ask::rows(&url, "CREATE TABLE host_jobs (name text)"))?;
    let said = said(&url, &["migrate", "--apply"]);
    ensure!(said.code == Some(5), "{said:?}");
    ensure!(said.err.contains("a table of a name that is ours") && said.err.contains("hint: use another"), "{said:?}");
    ensure!(said.err.contains("relation \"host_jobs\" already exists\n"), "with a line of its own source: {said:?}");
    block_on(ask::rows(&url, "SELECT name FROM host_jobs")).map(|_| ())
}

pub(crate) fn no_schema(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    let hint = "run `host migrate --apply` (`--plan` shows what it does), or start with --auto-migrate";
    refused(&url, &Expected { error: "has no schema of ours yet", hint })?;
    let plan = said(&url, &["migrate", "--plan", "--json"]);
    ensure!(plan.code == Some(0) && plan.out.contains("CREATE TABLE"), "{plan:?}");
    ensure!(block_on(migrate::status(&url.parse()?))?.current == 0, "something was made");
    let applied = said(&url, &["--auto-migrate", "status", "--json"]);
    ensure!(applied.code == Some(0), "{applied:?}");
    let again = said(&url, &["status", "--json"]);
    ensure!(again.code == Some(0), "{again:?}");
    Ok(())
}

pub(crate) fn newer_schema(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    block_on(migrate::apply(&url.parse()?, &SystemClock))?;
    block_on(ask::rows(&url, "INSERT INTO host_migrations VALUES (99, 'from_the_future', 0)"))?;
    let expected = Expected { error: "the store has schema 99", hint: "use the newer program" };
    refused(&url, &expected)?;
    let said = said(&url, &["migrate", "--apply"]);
    ensure!(said.code == Some(5) && said.err.contains("use the newer program"), "{said:?}");
    Ok(())
}

/// A database that cannot hold every text.
pub(crate) fn narrow_encoding(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    let (place, _) = url.rsplit_once('/').context("a URL with a database")?;
    // Databases are the server's, so each place makes its own.
    let name = block_on(ask::rows(&url, "SELECT current_schema()::text"))?.concat().concat();
    let narrow = format!("{name}_latin1");
    let create = |name: &str, encoding: &str| {
        let statement = format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'");
        block_on(ask::rows(&url, &statement)).map(drop)
    };
    create(&narrow, "LATIN1")?;
    let their_url = format!("{place}/{narrow}");
    let expected = Expected { error: "keeps texts in LATIN1", hint: "ENCODING 'UTF8'" };
    refused(&their_url, &expected)?;
    for command in [&["migrate", "--plan"][..], &["migrate", "--apply"], &["--auto-migrate", "status"]] {
        let said = said(&their_url, command);
        ensure!(said.code == Some(5) && said.err.contains("keeps texts in LATIN1"), "{command:?}: {said:?}");
    }
    // Without an encoding, the server keeps the bytes as they come.
    let plain = format!("{name}_ascii");
    create(&plain, "SQL_ASCII")?;
    let said = said(&format!("{place}/{plain}"), &["--auto-migrate", "status", "--json"]);
    ensure!(said.code == Some(0), "{said:?}");
    Ok(())
}

/// A user who may connect and read, and nothing else.
pub(crate) fn no_rights(backend: Backend) -> Result<()> {
    let url = url(backend)?;
    block_on(migrate::apply(&url.parse()?, &SystemClock))?;
    // Users are the server's, so that each place has its own.
    let place = url.rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_').next();
    let name = format!("reader_{}", place.context("a URL ends with the name of its place")?.to_lowercase());
    let statements = match backend {
        Backend::Postgres => {
            let schema = "SELECT current_schema()::text".to_owned();
            let schema = block_on(ask::rows(&url, &schema))?.concat().concat();
            vec![
                format!("CREATE USER {name} PASSWORD 'modest'"),
                format!("GRANT USAGE ON SCHEMA {schema} TO {name}"),
                format!("GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name}"),
            ]
        }
        _ => vec![
            format!("CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'modest'"),
            format!("GRANT SELECT ON `{}`.* TO {name}@'127.0.0.1'", url.rsplit('/').next().context("a database")?),
        ],
    };
    statements.iter().try_for_each(|statement| block_on(ask::rows(&url, statement)).map(drop))?;
    let (_, rest) = url.split_once('@').context("a URL with a user")?;
    let scheme = if backend == Backend::Postgres { "postgres" } else { "mysql" };
    let theirs = format!("{scheme}://{name}:modest@{rest}");
    let reads = said(&theirs, &["status", "--json"]);
    ensure!(reads.code == Some(0), "who may read can look: {reads:?}");
    let writes = said(&theirs, &["cleanup"]);
    ensure!(writes.code == Some(5), "{writes:?}");
    ensure!(
        writes.err.contains("the database user lacks a right") && writes.err.contains("hint: grant it"),
        "{writes:?}"
    );
    ensure!(!writes.err.contains("modest"), "the password is told: {writes:?}");
    Ok(())
}
