//! Servers that pass messages on, each for the test that starts it, so that it may be stopped and started again. As the database servers:
//! in a temporary folder, as an unprivileged user, on a free port of the loopback interface, and stopped by their process id.

use std::fmt;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use xtask::programs;

use super::nats_accounts::Accounts;
use super::servers::{free_port, installed, log, open_folder, output, unprivileged};
use crate::certificates::Certificates;

/// How long a server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The credentials file of a user whom a server with [`Setup::Accounts`] knows.
const USER_FILE: &str = "user.creds";
/// That of one whom it does not know.
const STRANGER_FILE: &str = "stranger.creds";

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Redis.
    Redis,
    /// An MQTT broker: Mosquitto.
    Mqtt,
    /// NATS.
    Nats,
    /// A pooler before PostgreSQL: PgBouncer.
    Pooler,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Service::Redis => "Redis",
            Service::Mqtt => "Mosquitto",
            Service::Nats => "NATS",
            Service::Pooler => "PgBouncer",
        }
    }

    const fn programs(self) -> &'static [&'static str] {
        match self {
            Service::Redis => &["redis-server"],
            Service::Mqtt => &["mosquitto", "mosquitto_passwd"],
            Service::Nats => &["nats-server"],
            Service::Pooler => &["pgbouncer"],
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a server is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Everybody may come.
    Open,
    /// Only user `ada` with the password `s3cret` may; with Redis the user is the default one.
    Password,
    /// Only with TLS.
    Tls,
    /// Only with TLS, and a certificate of the authority that has signed the server's.
    ClientCertificate,
    /// Only users of an account that an operator has signed may. Of NATS.
    Accounts,
}

/// A running server.
#[derive(Debug)]
pub struct MessageServer {
    service: Service,
    setup: Setup,
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for MessageServer {
    fn drop(&mut self) {
        // By its id. It keeps nothing.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl MessageServer {
    /// Starts one.
    ///
    /// # Errors
    /// [`super::NotRun`] where it is not installed; it does not start.
    pub fn start(service: Service, setup: Setup, certificates: Option<&Certificates>) -> Result<MessageServer> {
        Self::start_before(service, setup, certificates, 0)
    }

    /// Starts a pooler in transaction mode before the PostgreSQL server at that port.
    ///
    /// # Errors
    /// As [`MessageServer::start`].
    pub fn pooler(database: u16) -> Result<MessageServer> {
        Self::start_before(Service::Pooler, Setup::Open, None, database)
    }

    fn start_before(
        service: Service,
        setup: Setup,
        certificates: Option<&Certificates>,
        database: u16,
    ) -> Result<MessageServer> {
        installed(service.name(), service.programs())?;
        let folder = open_folder()?;
        if let Some(certificates) = certificates {
            fs::set_permissions(certificates.folder(), fs::Permissions::from_mode(0o755))?;
            for file in [certificates.server(), certificates.key(), certificates.authority()] {
                // Servers want their key to be their own.
                output(unprivileged("install", folder.path())?.args(["-m", "600"]).arg(file).arg(folder.path()))?;
            }
        }
        let port = free_port()?;
        configure(service, setup, folder.path(), port, database)?;
        let process = launch(service, setup, folder.path(), port)?;
        let mut server = MessageServer { service, setup, process, folder, port };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The credentials files of a user whom it knows, and of one whom it does not, with [`Setup::Accounts`].
    pub fn credentials(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join(USER_FILE), self.folder.path().join(STRANGER_FILE))
    }

    /// Ends it without a chance to tidy up, and starts it again at the same place.
    ///
    /// # Errors
    /// It does not start.
    pub fn crash_and_restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        self.process = launch(self.service, self.setup, self.folder.path(), self.port)?;
        self.wait_until_it_answers()
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        #[expect(
            clippy::disallowed_methods,
            reason = "real time: a server that does not come up must not hang the tests"
        )]
        let began = Instant::now();
        while began.elapsed() < START_TIMEOUT {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                let text = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
                bail!("{} ended by itself, {status}:\n{text}", self.service);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} does not answer after {START_TIMEOUT:?}", self.service)
    }
}

fn configure(service: Service, setup: Setup, folder: &Path, port: u16, database: u16) -> Result<()> {
    let text = match service {
        Service::Mqtt => {
            let mut text = format!("listener {port} 127.0.0.1\npersistence false\nlog_dest stdout\n");
            match setup {
                Setup::Open | Setup::Accounts => text += "allow_anonymous true\n",
                Setup::Password => {
                    let file = folder.join("passwords");
                    output(
                        programs::command("mosquitto_passwd")?.args(["-c", "-b"]).arg(&file).args(["ada", "s3cret"]),
                    )?;
                    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
                    text += &format!("allow_anonymous false\npassword_file {}\n", file.display());
                }
                Setup::Tls | Setup::ClientCertificate => {
                    text += "allow_anonymous true\n";
                    for (option, name) in
                        [("certfile", "server.pem"), ("keyfile", "server.key"), ("cafile", "authority.pem")]
                    {
                        text += &format!("{option} {}\n", folder.join(name).display());
                    }
                    text += &format!("require_certificate {}\n", setup == Setup::ClientCertificate);
                }
            }
            text
        }
        Service::Pooler => format!(
            "[databases]\n* = host=127.0.0.1 port={database} user=postgres password=secret dbname=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             ignore_startup_parameters = extra_float_digits,options\n"
        ),
        Service::Nats if setup == Setup::Accounts => {
            let accounts = Accounts::new()?;
            fs::write(folder.join(USER_FILE), accounts.user)?;
            fs::write(folder.join(STRANGER_FILE), accounts.stranger)?;
            accounts.configuration
        }
        Service::Redis | Service::Nats => return Ok(()),
    };
    Ok(fs::write(folder.join("server.conf"), text)?)
}

fn launch(service: Service, setup: Setup, folder: &Path, port: u16) -> Result<Child> {
    let port = port.to_string();
    let file = |name: &str| folder.join(name).display().to_string();
    let mut command: Command = match service {
        Service::Redis => {
            let mut command = unprivileged("redis-server", folder)?;
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]).arg(folder);
            match setup {
                Setup::Open | Setup::Accounts => command.args(["--port", &port]),
                Setup::Password => command.args(["--port", &port, "--requirepass", "s3cret"]),
                Setup::Tls | Setup::ClientCertificate => command
                    .args(["--port", "0", "--tls-port", &port, "--tls-auth-clients"])
                    .arg(if setup == Setup::ClientCertificate { "yes" } else { "no" })
                    .args(["--tls-cert-file", &file("server.pem"), "--tls-key-file", &file("server.key")])
                    .args(["--tls-ca-cert-file", &file("authority.pem")]),
            };
            command
        }
        Service::Mqtt => {
            let mut command = unprivileged("mosquitto", folder)?;
            command.args(["-c", &file("server.conf")]);
            command
        }
        Service::Nats => {
            let mut command = unprivileged("nats-server", folder)?;
            command.args(["-a", "127.0.0.1", "-p", &port]);
            match setup {
                Setup::Open => &mut command,
                Setup::Password => command.args(["--user", "ada", "--pass", "s3cret"]),
                Setup::Tls => {
                    command.args(["--tls", "--tlscert", &file("server.pem"), "--tlskey", &file("server.key")])
                }
                Setup::Accounts => command.args(["-c", &file("server.conf")]),
                Setup::ClientCertificate => command
                    .args(["--tlsverify", "--tlscert", &file("server.pem"), "--tlskey", &file("server.key")])
                    .args(["--tlscacert", &file("authority.pem")]),
            };
            command
        }
        Service::Pooler => {
            let mut command = unprivileged("pgbouncer", folder)?;
            command.arg(file("server.conf"));
            command
        }
    };
    command.stdout(log(folder)?).stderr(log(folder)?).spawn().with_context(|| format!("{service} does not start"))
}
