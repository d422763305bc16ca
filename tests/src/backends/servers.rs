//! Database servers for tests: started when the first test asks, in a temporary folder, as an unprivileged user, on a free port of
//! the loopback interface, and stopped by their process id.
//!
//! A server that does not start fails the case that asked first, with the reason. The others that want it are [`NotRun`]: they would
//! fail for the same reason, each after the time that trying takes.

use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use xtask::programs::{self, Places, Program};

use super::cpu;
use super::disk::SmallDisk;
use crate::certificates::Certificates;

/// How long a server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Lines of a server's log that are told when it ends by itself.
const LOG_LINES_TOLD: usize = 30;

/// Why a case cannot be run. It has neither passed nor failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRun {
    /// A program of the server is not on this machine.
    NotInstalled(&'static str, &'static Program),
    /// The server does not start, or has ended by itself; an earlier case has failed with the reason.
    FailedBefore(Kind),
}

impl std::error::Error for NotRun {}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRun::NotInstalled(server, program) => {
                write!(f, "{server} is not installed (`cargo xtask setup` does it); missing: {program}")
            }
            NotRun::FailedBefore(kind) => write!(f, "{kind} does not run; the case that failed says why"),
        }
    }
}

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mysql,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A running server.
#[derive(Debug)]
struct Server {
    process: Child,
    /// A part of it may be on a disk of its own. Before the folder, so that it is unmounted before that goes.
    disk: Option<SmallDisk>,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // By its id. What it stored goes with its folder, so there is nothing to save.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Server {
    /// The end of what it has written into its log.
    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_TOLD)..].join("\n")
    }
}

/// The server that the tests of a process share.
#[derive(Debug)]
enum Shared {
    NotStarted,
    Running(Server),
    Failed,
}

static POSTGRES: Mutex<Shared> = Mutex::new(Shared::NotStarted);
static MYSQL: Mutex<Shared> = Mutex::new(Shared::NotStarted);

/// Stops the servers that were started. To be called before the process ends: statics are not dropped.
pub fn stop_all() {
    for kind in [Kind::Postgres, Kind::Mysql] {
        *kind.shared() = Shared::NotStarted;
    }
}

impl Kind {
    /// The programs that start one and speak to it.
    const fn programs(self) -> &'static [&'static str] {
        match self {
            Kind::Postgres => &["initdb", "postgres", "pg_isready", "psql"],
            Kind::Mysql => &["mariadb-install-db", "mariadbd", "mariadb"],
        }
    }

    fn shared(self) -> MutexGuard<'static, Shared> {
        let shared = match self {
            Kind::Postgres => &POSTGRES,
            Kind::Mysql => &MYSQL,
        };
        shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn name(self) -> &'static str {
        match self {
            Kind::Postgres => "PostgreSQL",
            Kind::Mysql => "MariaDB",
        }
    }

    fn installed(self) -> Result<()> {
        installed(self.name(), self.programs())
    }

    /// Makes something on the server that tests share, which is started where it is not running.
    fn on_shared<T>(self, make: impl FnOnce(&Server) -> Result<T>) -> Result<T> {
        self.installed()?;
        // Held while it starts, so that whoever comes second waits for the first one's server.
        let mut shared = self.shared();
        let failure = match &mut *shared {
            Shared::Failed => return Err(NotRun::FailedBefore(self).into()),
            Shared::Running(server) => match server.process.try_wait()? {
                None => return make(server),
                Some(status) => ended(self, status, server),
            },
            Shared::NotStarted => match self.start(None) {
                Ok(server) => {
                    let made = make(&server);
                    *shared = Shared::Running(server);
                    return made;
                }
                Err(failure) => failure,
            },
        };
        *shared = Shared::Failed;
        Err(failure)
    }

    /// Starts one that a test has for itself.
    fn own(self, small: Option<Small>) -> Result<Server> {
        self.installed()?;
        if matches!(*self.shared(), Shared::Failed) {
            return Err(NotRun::FailedBefore(self).into());
        }
        let started = self.start(small);
        // Whether it starts on a small disk says nothing about others, and one that has started does not say that the next one fails.
        let mut shared = self.shared();
        if started.is_err() && small.is_none() && matches!(*shared, Shared::NotStarted) {
            *shared = Shared::Failed;
        }
        started
    }

    fn start(self, small: Option<Small>) -> Result<Server> {
        let started = match self {
            Kind::Postgres => start_postgres(small),
            Kind::Mysql => start_mysql(small),
        };
        started.with_context(|| format!("{self} for the tests does not start"))
    }
}

/// Fails as [`NotRun`] where a program of that server is missing.
pub(super) fn installed(server: &'static str, programs: &[&'static str]) -> Result<()> {
    let places = Places::of_this_machine();
    match programs.iter().find(|name| places.find(name).is_none()) {
        Some(missing) => Err(NotRun::NotInstalled(server, Program::named(missing)?).into()),
        None => Ok(()),
    }
}

fn ended(kind: Kind, status: ExitStatus, server: &Server) -> anyhow::Error {
    anyhow!("{kind} ended by itself, {status}:\n{}", server.log_tail())
}

/// A new schema on the PostgreSQL server.
pub(super) fn postgres_schema(number: u64) -> Result<String> {
    let schema = format!("test_{}_{number}", std::process::id());
    Kind::Postgres.on_shared(|server| {
        let base = format!("postgres://postgres:secret@127.0.0.1:{}/postgres", server.port);
        output(programs::command("psql")?.args([&base, "-qc", &format!("CREATE SCHEMA {schema}")]))?;
        Ok(format!("{base}?options=-csearch_path%3D{schema}"))
    })
}

/// A new database on the MariaDB server.
pub(super) fn mysql_database(number: u64) -> Result<String> {
    let database = format!("test_{}_{number}", std::process::id());
    Kind::Mysql.on_shared(|server| {
        mysql(server, &format!("CREATE DATABASE {database}"))?;
        Ok(format!("mysql://test:secret@127.0.0.1:{}/{database}", server.port))
    })
}

/// A small disk under a part of a server.
#[derive(Debug, Clone, Copy)]
pub enum Small {
    /// Its data are on a disk of so many MiB, and its log is not: a server that cannot write its log stops, and this one is to refuse.
    Data(u32),
    /// PostgreSQL only: its log is on a disk of so many MiB, and its data are not.
    Log(u32),
}

/// Mounts the disk under the part of a server that is to have it.
fn mount(folder: &Path, small: Option<Small>) -> Result<Option<SmallDisk>> {
    let (part, mebibytes) = match small {
        None => return Ok(None),
        Some(Small::Data(mebibytes)) => ("data", mebibytes),
        Some(Small::Log(mebibytes)) => ("log", mebibytes),
    };
    fs::create_dir(folder.join(part))?;
    SmallDisk::mount(&folder.join(part), mebibytes).map(Some)
}

fn start_postgres(small: Option<Small>) -> Result<Server> {
    let folder = open_folder()?;
    let disk = mount(folder.path(), small)?;
    let password = folder.path().join("password");
    std::fs::write(&password, "secret")?;
    let (data, password) = (folder.path().join("data"), format!("--pwfile={}", password.display()));
    let options = ["-U", "postgres", "-A", "scram-sha-256", &password, "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
    // The log beside the data, so that one of them can be on the small disk.
    let log = format!("--waldir={}", folder.path().join("log").display());
    let mut init = unprivileged("initdb", folder.path())?;
    output(init.args(options).arg(data).args(disk.is_some().then_some(log)))?;
    let port = free_port()?;
    let process = launch_postgres(folder.path(), port)?;
    let mut server = Server { process, disk, folder, port };
    postgres_ready(&mut server)?;
    Ok(server)
}

fn launch_postgres(folder: &Path, port: u16) -> Result<Child> {
    let mut command = unprivileged("postgres", folder)?;
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    // Written to the log at every commit, but not forced to the disk: that is for power cuts, which the tests do not make.
    command.args(["-c", "fsync=off", "-c", "max_connections=400", "-c", "shared_buffers=64MB"]);
    let tls = folder.join("tls");
    if tls.exists() {
        let file = |setting: &str, name: &str| format!("{setting}={}", tls.join(name).display());
        command.args(["-c", "ssl=on", "-c", &file("ssl_cert_file", "server.pem")]);
        command.args(["-c", &file("ssl_key_file", "server.key"), "-c", &file("hba_file", "pg_hba.conf")]);
    }
    Ok(command.stdout(log(folder)?).stderr(log(folder)?).spawn()?)
}

fn postgres_ready(server: &mut Server) -> Result<()> {
    let (ready, port) = (programs::path("pg_isready")?, server.port.to_string());
    wait_for(Kind::Postgres, server, || Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-p", &port]).status())
}

fn start_mysql(small: Option<Small>) -> Result<Server> {
    let folder = open_folder()?;
    let disk = mount(folder.path(), small)?;
    let (data, temporary) = mysql_folders(folder.path());
    fs::create_dir(folder.path().join("tmp"))?;
    fs::set_permissions(folder.path().join("tmp"), fs::Permissions::from_mode(0o777))?;
    let options = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data, &temporary];
    output(unprivileged("mariadb-install-db", folder.path())?.args(options))?;
    let port = free_port()?;
    let process = launch_mysql(folder.path(), port)?;
    let mut server = Server { process, disk, folder, port };
    mysql_ready(&mut server)?;
    mysql(
        &server,
        "CREATE USER test@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO test@'127.0.0.1' WITH GRANT OPTION",
    )?;
    Ok(server)
}

/// Where it keeps its data, and what it needs for a moment: a server that starts removes what others have in a folder that they share.
fn mysql_folders(folder: &Path) -> (String, String) {
    let option = |name: &str, place: &str| format!("--{name}={}", folder.join(place).display());
    (option("datadir", "data"), option("tmpdir", "tmp"))
}

fn launch_mysql(folder: &Path, port: u16) -> Result<Child> {
    let (data, temporary) = mysql_folders(folder);
    let socket = format!("--socket={}", folder.join("socket").display());
    let mut command = unprivileged("mariadbd", folder)?;
    command.args(["--no-defaults", &data, &temporary, &socket, "--bind-address=127.0.0.1", &format!("--port={port}")]);
    // 2: written to the log at every commit, but not forced to the disk, as above.
    command.args(["--max-connections=400", "--innodb-flush-log-at-trx-commit=2", "--skip-log-bin"]);
    let tls = folder.join("tls");
    if tls.exists() {
        let file = |option: &str, name: &str| format!("--{option}={}", tls.join(name).display());
        command.args([file("ssl-cert", "server.pem"), file("ssl-key", "server.key")]);
        command.arg("--require-secure-transport=ON");
    }
    Ok(command.stdout(log(folder)?).stderr(log(folder)?).spawn()?)
}

fn mysql_ready(server: &mut Server) -> Result<()> {
    // Any statement will do; `mariadb-admin ping` is in another package, which is needed for nothing else.
    let (client, arguments) = (programs::path("mariadb")?, mysql_arguments(server, "SELECT 1"));
    wait_for(Kind::Mysql, server, || {
        Command::new(&client).args(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()
    })
}

/// A server that a test has for itself, to crash it.
#[derive(Debug)]
pub struct OwnServer {
    server: Server,
    kind: Kind,
}

impl OwnServer {
    /// Starts one; of PostgreSQL, or else MariaDB.
    pub fn start(is_postgres: bool) -> Result<OwnServer> {
        Self::start_on(is_postgres, None)
    }

    /// Starts one of which a part is on a small disk, which can be filled.
    pub fn start_on_small_disk(is_postgres: bool, small: Small) -> Result<OwnServer> {
        Self::start_on(is_postgres, Some(small))
    }

    fn start_on(is_postgres: bool, small: Option<Small>) -> Result<OwnServer> {
        let kind = if is_postgres { Kind::Postgres } else { Kind::Mysql };
        let server = kind.own(small)?;
        if kind == Kind::Mysql {
            mysql(&server, "CREATE DATABASE crash")?;
        }
        Ok(OwnServer { server, kind })
    }

    /// The small disk, where it has one.
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.server.disk.as_ref()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Where its store is.
    pub fn url(&self) -> String {
        let port = self.server.port;
        match self.kind {
            Kind::Postgres => format!("postgres://postgres:secret@127.0.0.1:{port}/postgres"),
            Kind::Mysql => format!("mysql://test:secret@127.0.0.1:{port}/crash"),
        }
    }

    /// Starts it again with TLS, and lets nobody in without.
    pub fn use_tls(&mut self, certificates: &Certificates) -> Result<()> {
        let folder = self.server.folder.path();
        let tls = folder.join("tls");
        fs::create_dir(&tls)?;
        fs::set_permissions(&tls, fs::Permissions::from_mode(0o777))?;
        fs::write(tls.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n")?;
        fs::set_permissions(certificates.folder(), fs::Permissions::from_mode(0o755))?;
        // Servers want their key to be their own.
        for file in [certificates.server(), certificates.key()] {
            output(unprivileged("install", folder)?.args(["-m", "600"]).arg(file).arg(&tls))?;
        }
        self.crash_and_restart()
    }

    /// The processor time that it has used, all its processes together.
    pub fn cpu_time(&self) -> Result<Duration> {
        let server = self.server.process.id();
        let mut sum = cpu::cpu_time_with_ended(server)?;
        for child in children(server)? {
            // One that ends at this moment is counted the next time.
            sum += cpu::cpu_time(child).unwrap_or_default();
        }
        Ok(sum)
    }

    /// Lets it stand still: it takes connections and what is sent, as far as the system does that for it, and answers nothing.
    pub fn stand_still(&self) -> Result<StandsStill> {
        StandsStill::of(self.server.process.id())
    }

    /// Ends it without a chance to tidy up, and starts it again in the same place.
    pub fn crash_and_restart(&mut self) -> Result<()> {
        let server = &mut self.server;
        match self.kind {
            // What `pg_ctl stop -m immediate` sends. A kill would leave its children behind, which keep the next one from starting.
            Kind::Postgres => output(Command::new("kill").args(["-QUIT", &server.process.id().to_string()]))?,
            Kind::Mysql => server.process.kill()?,
        }
        server.process.wait()?;
        let (folder, port) = (server.folder.path().to_owned(), server.port);
        match self.kind {
            Kind::Postgres => {
                server.process = launch_postgres(&folder, port)?;
                postgres_ready(server)
            }
            Kind::Mysql => {
                server.process = launch_mysql(&folder, port)?;
                mysql_ready(server)
            }
        }
    }
}

/// A server that stands still, until this is dropped.
#[derive(Debug)]
pub struct StandsStill {
    processes: Vec<u32>,
}

impl StandsStill {
    fn of(server: u32) -> Result<StandsStill> {
        // The server first, so that it makes no more children; PostgreSQL has one for each connection.
        let mut still = StandsStill { processes: vec![server] };
        signal("-STOP", &still.processes)?;
        still.processes.extend(children(server)?);
        signal("-STOP", &still.processes)?;
        Ok(still)
    }
}

impl Drop for StandsStill {
    fn drop(&mut self) {
        // Also where the test has failed: what stands still cannot be ended in good order.
        if let Err(error) = signal("-CONT", &self.processes) {
            eprintln!("the server does not go on: {error:#}");
        }
    }
}

fn signal(signal: &str, processes: &[u32]) -> Result<()> {
    output(Command::new("kill").arg(signal).args(processes.iter().map(u32::to_string)))
}

/// The processes that a process has started and that have not ended.
fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile has no file.
        let Ok(fields) = cpu::fields_of(id) else { continue };
        if fields.get(1) == Some(&parent.to_string()) {
            found.push(id);
        }
    }
    Ok(found)
}

fn mysql(server: &Server, statement: &str) -> Result<()> {
    output(programs::command("mariadb")?.args(mysql_arguments(server, statement)))
}

fn mysql_arguments(server: &Server, statement: &str) -> [String; 5] {
    let socket = format!("--socket={}", server.folder.path().join("socket").display());
    ["--no-defaults".to_owned(), socket, "-uroot".to_owned(), "-e".to_owned(), statement.to_owned()]
}

/// A temporary folder that an unprivileged user may use.
pub(super) fn open_folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
    Ok(folder)
}

pub(super) fn log(folder: &Path) -> Result<std::fs::File> {
    Ok(std::fs::OpenOptions::new().create(true).append(true).open(folder.join("server.log"))?)
}

/// A command that runs as `nobody` where we are root: database servers refuse to run as root.
pub(super) fn unprivileged(program: &str, folder: &Path) -> Result<Command> {
    let program = programs::path(program)?;
    let is_root = output_text(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder).env("HOME", folder).stdin(Stdio::null());
    Ok(command)
}

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(super) fn output(command: &mut Command) -> Result<()> {
    output_text(command).map(|_| ())
}

fn output_text(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} does not run"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until the server answers, or has ended, or the time is up.
fn wait_for(kind: Kind, server: &mut Server, ask: impl Fn() -> std::io::Result<ExitStatus>) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "real time: a server that does not come up must not hang the tests")]
    let began = Instant::now();
    while began.elapsed() < START_TIMEOUT {
        if ask()?.success() {
            return Ok(());
        }
        if let Some(status) = server.process.try_wait()? {
            return Err(ended(kind, status, server));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{kind} does not answer after {START_TIMEOUT:?}:\n{}", server.log_tail())
}
