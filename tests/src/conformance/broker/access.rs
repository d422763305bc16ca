//! Who is let in, over what, and what is told where it is not possible.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use host::app::{App, EventFilter, Received};
use host::assemble::Machine;
use host::broker::{Broker, Delivery};
use host::clock::SystemClock;
use host::config::{BrokerUrl, Config};
use host::model::{EventKind, EventType, TaskDeclaration};

use super::{event, next, publish};
use crate::backends::{Backend, MessageServer, OwnServer, Service, Setup};
use crate::brokers::{Kind, Place, open};
use crate::certificates::Certificates;
use crate::doubles::proxy::{Fault, Proxy};
use crate::logs::Logs;
use crate::trials::block_on;
use crate::wait::wait_for;

/// A case on a kind of broker.
pub type KindCase = fn(Kind) -> Result<()>;

/// A case that is about one kind alone.
pub type Case = fn() -> Result<()>;

/// The cases about brokers with a server.
pub const CASES: &[(&str, KindCase)] = &[
    ("wrong_credentials_are_reported_and_right_ones_work", wrong_credentials_are_reported_and_right_ones_work),
    ("the_server_must_show_a_certificate_that_is_trusted", the_server_must_show_a_certificate_that_is_trusted),
    ("a_server_that_is_not_there_is_reported", a_server_that_is_not_there_is_reported),
    ("programs_use_the_broker_that_is_named", programs_use_the_broker_that_is_named),
];

/// Those about brokers whose connections are not made as a store's.
pub const MESSAGE_SERVERS: &[(&str, KindCase)] =
    &[("the_server_may_ask_for_a_certificate_of_the_host", the_server_may_ask_for_a_certificate_of_the_host)];

/// Those about NATS alone.
pub const NATS: &[(&str, Case)] =
    &[("users_with_a_credentials_file_are_let_in", users_with_a_credentials_file_are_let_in)];

/// Those about PostgreSQL alone.
pub const POSTGRES: &[(&str, Case)] = &[
    ("behind_a_pooler_it_says_once_that_it_polls", behind_a_pooler_it_says_once_that_it_polls),
    ("stores_in_two_schemas_have_events_of_their_own", stores_in_two_schemas_have_events_of_their_own),
    ("programs_on_one_store_find_each_other_by_themselves", programs_on_one_store_find_each_other_by_themselves),
    ("where_the_server_is_away_at_first_it_is_found_later", where_the_server_is_away_at_first_it_is_found_later),
];

/// The broker cannot be opened, and each of `mentions` is told, and no password.
async fn refused(url: &str, mentions: &[&str]) -> Result<()> {
    let Err(error) = open(url).await else { anyhow::bail!("{url} opens") };
    let told = format!("{error}\n{}\n{}", host::store::error::chain(&*error.source), error.hint);
    ensure!(!told.contains("s3cret") && !told.contains("wr0ng"), "a password is told: {told}");
    for mention in mentions {
        ensure!(told.contains(mention), "`{mention}` is not in: {told}");
    }
    Ok(())
}

/// The broker opens and delivers.
async fn works(url: &str) -> Result<()> {
    let here = open(url).await.with_context(|| format!("{url} is refused"))?;
    let there = open(url).await?;
    ensure!(there.reaches_other_processes().await, "{url}: nothing comes back");
    let mut subscription = there.subscribe();
    publish(&*here, vec![event("p", 1)]).await;
    ensure!(next(&mut subscription).await == Delivery::Event(event("p", 1)), "another event");
    here.close().await;
    there.close().await;
    Ok(())
}

fn wrong_credentials_are_reported_and_right_ones_work(kind: Kind) -> Result<()> {
    let place = Place::with(kind, Setup::Password, None)?;
    let right = kind.url(Setup::Password, place.port());
    let wrong = right.replace(":s3cret@", ":wr0ng@").replace(":secret@", ":wr0ng@");
    let none = right.replace("ada:s3cret@", "").replace(":s3cret@", "");
    block_on(async {
        works(&right).await?;
        refused(&wrong, &["refuses the user or the password", "check"]).await?;
        if kind != Kind::Postgres {
            refused(&none, &["refuses the user or the password"]).await?;
        }
        Ok(())
    })
}

fn the_server_must_show_a_certificate_that_is_trusted(kind: Kind) -> Result<()> {
    let certificates = Certificates::new()?;
    let place = Place::with(kind, Setup::Tls, Some(&certificates))?;
    let by_name = match kind {
        Kind::Postgres => format!("postgres://postgres:secret@localhost:{}/postgres?sslmode=verify-full", place.port()),
        _ => kind.url(Setup::Tls, place.port()),
    };
    let with = |url: &str, file: &std::path::Path| format!("{url}&sslrootcert={}", file.display());
    let trusted = with(&by_name, &certificates.authority());
    block_on(async {
        works(&trusted).await?;
        refused(&by_name, &["trusted", "sslrootcert=FILE"]).await?;
        refused(&with(&by_name, &certificates.stranger()), &["trusted", "sslrootcert"]).await?;
        refused(&trusted.replace("localhost", "127.0.0.1"), &["name"]).await?;
        let missing = certificates.folder().join("missing.pem");
        refused(&with(&by_name, &missing), &["missing.pem", "cannot be read"]).await
    })
}

fn the_server_may_ask_for_a_certificate_of_the_host(kind: Kind) -> Result<()> {
    let certificates = Certificates::new()?;
    let place = Place::with(kind, Setup::ClientCertificate, Some(&certificates))?;
    let url = kind.url(Setup::ClientCertificate, place.port());
    let url = format!("{url}&sslrootcert={}", certificates.authority().display());
    // A certificate is good for either side.
    let (certificate, key) = (certificates.server(), certificates.key());
    let with_certificate = format!("{url}&sslcert={}&sslkey={}", certificate.display(), key.display());
    block_on(async {
        works(&with_certificate).await?;
        refused(&url, &["sslcert"]).await?;
        let swapped = format!("{url}&sslcert={}&sslkey={}", key.display(), certificate.display());
        refused(&swapped, &["server.pem", "private key"]).await
    })
}

fn users_with_a_credentials_file_are_let_in() -> Result<()> {
    let server = MessageServer::start(Service::Nats, Setup::Accounts, None)?;
    let url = format!("nats://127.0.0.1:{}", server.port());
    let with = |file: &std::path::Path| format!("{url}?credentials={}", file.display());
    let (user, stranger) = server.credentials();
    let damaged = user.with_file_name("damaged.creds");
    std::fs::write(&damaged, "SUAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM s3cret")?;
    block_on(async {
        works(&with(&user)).await?;
        refused(&with(&stranger), &["refuses the user"]).await?;
        refused(&url, &["refuses the user"]).await?;
        refused(&with(&damaged), &["cannot be used", "credentials", "damaged.creds"]).await?;
        refused(&with(&user.with_file_name("missing.creds")), &["cannot be used", "credentials", "missing.creds"]).await
    })
}

fn a_server_that_is_not_there_is_reported(kind: Kind) -> Result<()> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let setup = Setup::Password;
    block_on(refused(&kind.url(setup, port), &["check that it runs", &port.to_string()]))
}

fn behind_a_pooler_it_says_once_that_it_polls() -> Result<()> {
    let server = OwnServer::start(true)?;
    let pooler = MessageServer::pooler(server.port())?;
    let logs = Logs::of_this_thread();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let direct = open(&server.url()).await?;
        ensure!(direct.reaches_other_processes().await, "the server itself delivers");
        let mut subscription = direct.subscribe();
        let pooled = open(&Kind::Postgres.url(Setup::Open, pooler.port())).await?;
        ensure!(!pooled.reaches_other_processes().await, "through the pooler nothing comes back");
        // Who listens to the server itself receives what is published through the pooler.
        for number in 0..3 {
            publish(&*pooled, vec![event("p", number)]).await;
            ensure!(next(&mut subscription).await == Delivery::Event(event("p", number)), "another event");
        }
        pooled.close().await;
        direct.close().await;
        let told = logs.warnings_about("the store is polled instead");
        ensure!(told == 1 && logs.warnings() == 1, "told {told} times:\n{logs}");
        ensure!(logs.to_string().contains("PgBouncer"), "{logs}");
        Ok(())
    })
}

fn stores_in_two_schemas_have_events_of_their_own() -> Result<()> {
    let (one, two) = (Backend::Postgres.place()?, Backend::Postgres.place()?);
    let (one, two) = (one.context("a place")?.url, two.context("a place")?.url);
    block_on(async {
        let (here, same, other) = (open(&one).await?, open(&one).await?, open(&two).await?);
        ensure!(same.reaches_other_processes().await && other.reaches_other_processes().await, "nothing comes back");
        let (mut same_events, mut other_events) = (same.subscribe(), other.subscribe());
        publish(&*here, vec![event("p", 1)]).await;
        ensure!(next(&mut same_events).await == Delivery::Event(event("p", 1)), "another event");
        publish(&*other, vec![event("p", 2)]).await;
        ensure!(next(&mut other_events).await == Delivery::Event(event("p", 2)), "an event of the other schema");
        Ok(())
    })
}

fn where_the_server_is_away_at_first_it_is_found_later() -> Result<()> {
    let server = OwnServer::start(true)?;
    block_on(async {
        let proxy = Proxy::before(server.port()).await;
        proxy.set(Fault::Cut);
        let url = Kind::Postgres.url(Setup::Open, proxy.port());
        let Ok(BrokerUrl::Postgres(url)) = url.parse() else { anyhow::bail!("a URL of PostgreSQL") };
        let broker = host::broker::postgres::open_or_retry(&url, Arc::new(SystemClock)).await?;
        ensure!(!broker.reaches_other_processes().await, "it cannot");
        proxy.set(Fault::None);
        wait_for("the server to be found", || async { broker.reaches_other_processes().await.then_some(()) }).await;
        broker.close().await;
        Ok(())
    })
}

/// A program as `host` makes it of settings.
async fn program(store: &str, broker: Option<&str>, folder: &std::path::Path) -> Result<App> {
    let broker = broker.map(str::parse).transpose()?;
    let config = Config { broker, auto_migrate: true, ..Config::new(store.parse()?, folder) };
    Ok(Machine.open(&config).await?.app)
}

/// One adds a task, and the other one is told.
async fn reach_each_other(store: &str, broker: Option<&str>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (one, other) = (program(store, broker, folder.path()).await?, program(store, broker, folder.path()).await?);
    ensure!(other.hears_other_processes().await, "nothing comes back");
    let mut events = other.events(EventFilter { types: vec![EventType::TaskAdded] });
    one.task_add_native("p:t".parse()?, TaskDeclaration::new("t".parse()?)).await?;
    let received = super::within(events.next()).await;
    let Some(Received::Event(event)) = received else { anyhow::bail!("{received:?} instead of an event") };
    ensure!(event.kind == EventKind::TaskAdded { task_id: "p:t".parse()? }, "{event:?}");
    one.close().await;
    other.close().await;
    Ok(())
}

fn programs_use_the_broker_that_is_named(kind: Kind) -> Result<()> {
    let place = Place::new(kind)?;
    block_on(reach_each_other("memory", Some(&place.url())))
}

fn programs_on_one_store_find_each_other_by_themselves() -> Result<()> {
    let place = Backend::Postgres.place()?.context("a store on a server has a place")?;
    block_on(reach_each_other(&place.url, None))
}
