//! Database servers for tests: started when the first test asks, in a temporary folder, as an unprivileged user, on a free port of
//! the loopback interface, and stopped by their process id.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How long a server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server.
struct Server {
    process: Child,
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
        *server = Some(start_postgres().context("PostgreSQL for the tests does not start")?);
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
        *server = Some(start_mysql().context("MariaDB for the tests does not start")?);
    }
    let server = server.as_ref().context("the server was just started")?;
    let database = format!("test_{}_{number}", std::process::id());
    mysql(server, &format!("CREATE DATABASE {database}"))?;
    Ok(format!("mysql://test:secret@127.0.0.1:{}/{database}", server.port))
}

fn start_postgres() -> Result<Server> {
    let folder = open_folder()?;
    let data = folder.path().join("data");
    let data_text = data.to_string_lossy().into_owned();
    let initdb = postgres_program("initdb")?;
    let password = folder.path().join("password");
    std::fs::write(&password, "secret")?;
    let password = format!("--pwfile={}", password.display());
    let options =
        ["-D", &data_text, "-U", "postgres", "-A", "scram-sha-256", &password, "-E", "UTF8", "--locale=C", "--no-sync"];
    output(unprivileged(&initdb, folder.path())?.args(options))?;
    let port = free_port()?;
    let socket_folder = folder.path().to_string_lossy().into_owned();
    let process = unprivileged(&postgres_program("postgres")?, folder.path())?
        .args(["-D", &data_text, "-k", &socket_folder, "-h", "127.0.0.1", "-p", &port.to_string()])
        // A server that is thrown away need not survive a power cut; one that crashes still recovers from its log.
        .args(["-c", "fsync=off", "-c", "max_connections=400", "-c", "shared_buffers=64MB"])
        .stdout(log(folder.path())?)
        .stderr(log(folder.path())?)
        .spawn()?;
    let mut server = Server { process, folder, port };
    let ready = postgres_program("pg_isready")?;
    wait_for(&mut server, || Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status())?;
    Ok(server)
}

fn start_mysql() -> Result<Server> {
    let folder = open_folder()?;
    let data = format!("--datadir={}", folder.path().join("data").display());
    let install = program("mariadb-install-db", &["/usr/bin"])?;
    let options = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data];
    output(unprivileged(&install, folder.path())?.args(options))?;
    let port = free_port()?;
    let socket = format!("--socket={}", folder.path().join("socket").display());
    let process = unprivileged(&program("mariadbd", &["/usr/sbin"])?, folder.path())?
        .args(["--no-defaults", &data, &socket, "--bind-address=127.0.0.1", &format!("--port={port}")])
        .args(["--max-connections=400", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"])
        .stdout(log(folder.path())?)
        .stderr(log(folder.path())?)
        .spawn()?;
    let mut server = Server { process, folder, port };
    let admin = program("mariadb-admin", &["/usr/bin"])?;
    let socket = format!("--socket={}", server.folder.path().join("socket").display());
    wait_for(&mut server, || {
        Command::new(&admin)
            .args(["--no-defaults", &socket, "-uroot", "ping"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    })?;
    mysql(&server, "CREATE USER test@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO test@'127.0.0.1'")?;
    Ok(server)
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
