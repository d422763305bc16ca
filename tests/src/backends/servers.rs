//! Database servers for tests: started when the first test asks, in a temporary folder, as an unprivileged user, on a free port of
//! the loopback interface, and stopped by their process id.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::disk::SmallDisk;
use crate::certificates::Certificates;

/// How long a server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);

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

static POSTGRES: Mutex<Option<Server>> = Mutex::new(None);
static MYSQL: Mutex<Option<Server>> = Mutex::new(None);

/// Stops the servers that were started. To be called before the process ends: statics are not dropped.
pub fn stop_all() {
    for server in [&POSTGRES, &MYSQL] {
        drop(server.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }
}

/// A new schema on the PostgreSQL server, which is started where it is not running.
pub(super) fn postgres_schema(number: u64) -> Result<String> {
    let mut server = POSTGRES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if server.is_none() {
        *server = Some(start_postgres(None).context("PostgreSQL for the tests does not start")?);
    }
    let port = server.as_ref().map_or(0, |server| server.port);
    let schema = format!("test_{}_{number}", std::process::id());
    let base = format!("postgres://postgres:secret@127.0.0.1:{port}/postgres");
    output(Command::new(postgres_program("psql")?).args([&base, "-qc", &format!("CREATE SCHEMA {schema}")]))?;
    Ok(format!("{base}?options=-csearch_path%3D{schema}"))
}

/// A new database on the MariaDB server, which is started where it is not running.
pub(super) fn mysql_database(number: u64) -> Result<String> {
    let mut server = MYSQL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if server.is_none() {
        *server = Some(start_mysql(None).context("MariaDB for the tests does not start")?);
    }
    let server = server.as_ref().context("the server was just started")?;
    let database = format!("test_{}_{number}", std::process::id());
    mysql(server, &format!("CREATE DATABASE {database}"))?;
    Ok(format!("mysql://test:secret@127.0.0.1:{}/{database}", server.port))
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
    let mut init = unprivileged(&postgres_program("initdb")?, folder.path())?;
    output(init.args(options).arg(data).args(disk.is_some().then_some(log)))?;
    let port = free_port()?;
    let process = launch_postgres(folder.path(), port)?;
    let mut server = Server { process, disk, folder, port };
    postgres_ready(&mut server)?;
    Ok(server)
}

fn launch_postgres(folder: &Path, port: u16) -> Result<Child> {
    let mut command = unprivileged(&postgres_program("postgres")?, folder)?;
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
    let (ready, port) = (postgres_program("pg_isready")?, server.port.to_string());
    wait_for(server, || Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-p", &port]).status())
}

fn start_mysql(small: Option<Small>) -> Result<Server> {
    let folder = open_folder()?;
    let disk = mount(folder.path(), small)?;
    let data = format!("--datadir={}", folder.path().join("data").display());
    let install = program("mariadb-install-db", &["/usr/bin"])?;
    let options = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data];
    output(unprivileged(&install, folder.path())?.args(options))?;
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

fn launch_mysql(folder: &Path, port: u16) -> Result<Child> {
    let data = format!("--datadir={}", folder.join("data").display());
    let socket = format!("--socket={}", folder.join("socket").display());
    let mut command = unprivileged(&program("mariadbd", &["/usr/sbin"])?, folder)?;
    command.args(["--no-defaults", &data, &socket, "--bind-address=127.0.0.1", &format!("--port={port}")]);
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
    let admin = program("mariadb-admin", &["/usr/bin"])?;
    let socket = format!("--socket={}", server.folder.path().join("socket").display());
    wait_for(server, || {
        let mut ping = Command::new(&admin);
        ping.args(["--no-defaults", &socket, "-uroot", "ping"]).stdout(Stdio::null()).stderr(Stdio::null()).status()
    })
}

/// A server that a test has for itself, to crash it.
#[derive(Debug)]
pub struct OwnServer {
    server: Server,
    is_postgres: bool,
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
        let server = if is_postgres { start_postgres(small)? } else { start_mysql(small)? };
        if !is_postgres {
            mysql(&server, "CREATE DATABASE crash")?;
        }
        Ok(OwnServer { server, is_postgres })
    }

    /// The small disk, where it has one.
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.server.disk.as_ref()
    }

    /// Where its store is.
    pub fn url(&self) -> String {
        let port = self.server.port;
        if self.is_postgres {
            format!("postgres://postgres:secret@127.0.0.1:{port}/postgres")
        } else {
            format!("mysql://test:secret@127.0.0.1:{port}/crash")
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
        let install = program("install", &["/usr/bin"])?;
        for file in [certificates.server(), certificates.key()] {
            output(unprivileged(&install, folder)?.args(["-m", "600"]).arg(file).arg(&tls))?;
        }
        self.crash_and_restart()
    }

    /// Ends it without a chance to tidy up, and starts it again in the same place.
    pub fn crash_and_restart(&mut self) -> Result<()> {
        let server = &mut self.server;
        if self.is_postgres {
            // What `pg_ctl stop -m immediate` sends. A kill would leave its children behind, which keep the next one from starting.
            output(Command::new("kill").args(["-QUIT", &server.process.id().to_string()]))?;
        } else {
            server.process.kill()?;
        }
        server.process.wait()?;
        let (folder, port) = (server.folder.path().to_owned(), server.port);
        server.process = if self.is_postgres { launch_postgres(&folder, port)? } else { launch_mysql(&folder, port)? };
        if self.is_postgres { postgres_ready(server) } else { mysql_ready(server) }
    }
}

fn mysql(server: &Server, statement: &str) -> Result<()> {
    let socket = format!("--socket={}", server.folder.path().join("socket").display());
    output(Command::new(program("mariadb", &["/usr/bin"])?).args(["--no-defaults", &socket, "-uroot", "-e", statement]))
}

/// A temporary folder that an unprivileged user may use.
fn open_folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
    Ok(folder)
}

fn log(folder: &Path) -> Result<std::fs::File> {
    Ok(std::fs::OpenOptions::new().create(true).append(true).open(folder.join("server.log"))?)
}

/// A command that runs as `nobody` where we are root: database servers refuse to run as root.
fn unprivileged(program: &Path, folder: &Path) -> Result<Command> {
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

fn postgres_program(name: &str) -> Result<PathBuf> {
    program(name, &["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin"])
}

/// A program of the search path, or of the folders where distributions put it.
fn program(name: &str, folders: &[&str]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().map(PathBuf::from).chain(std::env::split_paths(&path));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("`{name}` is not installed: run `cargo xtask setup`"))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn output(command: &mut Command) -> Result<()> {
    output_text(command).map(|_| ())
}

fn output_text(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} does not run"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until the server answers, or has ended, or the time is up.
fn wait_for(server: &mut Server, ask: impl Fn() -> std::io::Result<std::process::ExitStatus>) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "real time: a server that does not come up must not hang the tests")]
    let began = Instant::now();
    while began.elapsed() < START_TIMEOUT {
        if ask()?.success() {
            return Ok(());
        }
        if let Some(status) = server.process.try_wait()? {
            let log = std::fs::read_to_string(server.folder.path().join("server.log")).unwrap_or_default();
            bail!("the server ended with {status}: {log}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("the server does not answer after {START_TIMEOUT:?}")
}
