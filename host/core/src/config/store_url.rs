//! URLs of data stores: read once, and shown without what is secret in them.
//!
//! A URL may hold a password in its user part, in its parameters or, where it was mistyped, anywhere. So it is shown by the parts that
//! are known to be harmless, which are scheme, host, port and path; one that cannot be read is shown by its scheme alone. A path of this
//! machine never becomes the text of a URL on its way to whoever opens it: not every path is text, and `?` means something in a URL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::server_url::{ServerKind, ServerUrl};
use super::url_error::{UrlError, scheme_of};

/// Where a data store is.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// In the memory of the process.
    Memory,
    /// In a file of this machine.
    Sqlite(SqliteFile),
    /// On a PostgreSQL server.
    Postgres(ServerUrl),
    /// On a MySQL or MariaDB server.
    Mysql(ServerUrl),
}

/// A data store in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteFile {
    /// The file.
    pub path: PathBuf,
    /// How much of the disk's patience a commit costs.
    pub synchronous: Synchronous,
}

/// What SQLite forces to the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Checkpoints: the last commits may be lost when the machine goes down.
    Normal,
    /// Every commit.
    #[default]
    Full,
    /// Every commit, and the folder after a journal was removed.
    Extra,
}

impl StoreUrl {
    /// A file of this machine.
    pub fn file(path: impl Into<PathBuf>) -> StoreUrl {
        StoreUrl::Sqlite(SqliteFile { path: path.into(), synchronous: Synchronous::default() })
    }

    /// The database that a host uses when told nothing: a file in its data folder.
    pub fn in_data_dir(data_dir: &Path) -> StoreUrl {
        StoreUrl::file(data_dir.join("host.db"))
    }
}

impl FromStr for StoreUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<StoreUrl, UrlError> {
        match scheme_of(text) {
            _ if text == "memory" => Ok(StoreUrl::Memory),
            Some("memory") if matches!(text, "memory:" | "memory://") => Ok(StoreUrl::Memory),
            Some("sqlite") => sqlite(text).map(StoreUrl::Sqlite),
            Some("postgres" | "postgresql") => ServerUrl::parse(ServerKind::Postgres, text).map(StoreUrl::Postgres),
            Some("mysql" | "mariadb") => ServerUrl::parse(ServerKind::Mysql, text).map(StoreUrl::Mysql),
            scheme => Err(UrlError {
                what: unknown("store", scheme),
                hint: "a store URL begins with memory:, sqlite://, postgres:// or mysql://".to_owned(),
            }),
        }
    }
}

pub(super) fn unknown(kind: &str, scheme: Option<&str>) -> String {
    match scheme {
        Some(scheme) => format!("there is no kind of {kind} called `{scheme}`"),
        None => format!("what is given as {kind} is no URL"),
    }
}

/// `sqlite:PATH` or `sqlite://PATH`, with `?synchronous=normal|full|extra`. The path is taken as it stands, `%` included.
pub(super) fn sqlite(text: &str) -> Result<SqliteFile, UrlError> {
    let rest = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")).unwrap_or(text);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let fault = |reason: &str, hint: &str| UrlError {
        what: format!("the URL `sqlite://{}` cannot be read: {reason}", path.chars().take(200).collect::<String>()),
        hint: hint.to_owned(),
    };
    if path.is_empty() || path == ":memory:" {
        let hint = "write sqlite:///var/lib/host/host.db, or memory: for a store without a file";
        return Err(fault("it names no file", hint));
    }
    let mut synchronous = Synchronous::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != "synchronous" {
            let hint = "the only option is synchronous=full (default), normal or extra; a folder with `?` in its name can be named with --data-dir";
            return Err(fault(
                &format!("it has an unknown option `{}`", key.chars().take(32).collect::<String>()),
                hint,
            ));
        }
        synchronous = match value.to_ascii_lowercase().as_str() {
            "normal" => Synchronous::Normal,
            "full" => Synchronous::Full,
            "extra" => Synchronous::Extra,
            _ => {
                return Err(fault(
                    "synchronous has a value that it cannot have",
                    "use full (default), normal or extra",
                ));
            }
        };
    }
    Ok(SqliteFile { path: path.into(), synchronous })
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Memory => f.write_str("memory"),
            StoreUrl::Sqlite(file) => write!(f, "sqlite://{}", file.path.display()),
            StoreUrl::Postgres(url) | StoreUrl::Mysql(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<StoreUrl>() {
            Ok(url) => {
                assert_eq!(url.to_string(), format!("{url:?}"));
                url.to_string()
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_store_url_is_shown_by_scheme_host_port_and_path() {
        for (text, expected) in [
            ("postgres://ada:secret@db.example:6432/jobs?sslmode=require", "postgres://db.example:6432/jobs"),
            ("postgres://ada:se@cret@db.example/jobs", "postgres://db.example/jobs"),
            ("postgres://db.example/jobs?user=ada&password=secret", "postgres://db.example/jobs"),
            ("postgres:///jobs?host=/run/postgresql", "postgres:///jobs?host=/run/postgresql"),
            ("mysql://ada:secret@[::1]:3307/jobs", "mysql://[::1]:3307/jobs"),
            ("mariadb://ada@db/jobs", "mariadb://db/jobs"),
            ("sqlite:///var/lib/host/a:b@c.db", "sqlite:///var/lib/host/a:b@c.db"),
            ("sqlite:host.db?synchronous=normal", "sqlite://host.db"),
            ("memory", "memory"),
            ("memory://", "memory"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    /// However the password is written and wherever it stands, and also where the URL cannot be read for it.
    #[test]
    fn no_password_is_shown_in_any_form_of_url() {
        const ODD: &[char] = &['/', '#', '?', '@', ':', '%', '&', '=', '[', ']', ' ', '+', '\\', '"', 'é', ';'];
        let mut random = fastrand::Rng::with_seed(8);
        for round in 0..20_000 {
            // Two words that stand in no other part of the URL, with anything between and around them.
            let odd = |random: &mut fastrand::Rng| ODD[random.usize(..ODD.len())];
            let (a, b, c) = (odd(&mut random), odd(&mut random), odd(&mut random));
            let password = match round % 4 {
                0 => format!("hunter{a}{b}swordfish"),
                1 => format!("{a}hunter{b}swordfish{c}"),
                2 => format!("31415{a}hunter{b}swordfish"),
                _ => format!("31415{a}{b}27182"),
            };
            let secrets = ["hunter", "swordfish", "31415", "27182"];
            let url = match random.u8(..5) {
                0 => format!("postgres://ada:{password}@db.example:6432/jobs"),
                1 => format!("mysql://ada:{password}@db.example/jobs?ssl-mode=required"),
                2 => format!("postgres://db.example/jobs?password={password}"),
                3 => format!("postgres://ada:{password}@/jobs"),
                _ => format!("postgres:ada:{password}@db.example/jobs"),
            };
            let shown = shown(&url);
            let told = secrets.iter().find(|secret| shown.contains(**secret));
            assert_eq!(told, None, "{url} is shown as {shown}");
        }
    }

    #[test]
    fn what_is_no_url_is_not_shown() {
        for text in ["hunter2", "", "hunter2 secret:x", "://hunter2", "hunter%32://x"] {
            assert!(!shown(text).contains("hunter"), "{}", shown(text));
        }
        assert!(shown("redis://:hunter2@h").contains("`redis`"), "{}", shown("redis://:hunter2@h"));
        assert!(!shown("redis://:hunter2@h").contains("hunter2"));
    }

    #[test]
    fn a_path_stays_the_path_it_is() {
        let folder = Path::new("/srv/a?b#c%20d");
        let StoreUrl::Sqlite(file) = StoreUrl::in_data_dir(folder) else { panic!("a file") };
        assert_eq!(file.path, folder.join("host.db"));
        let Ok(StoreUrl::Sqlite(file)) = "sqlite:///srv/a%20b#c/host.db".parse() else { panic!("a file") };
        assert_eq!(file.path, Path::new("/srv/a%20b#c/host.db"));
    }

    #[test]
    fn an_option_that_sqlite_does_not_have_is_refused() {
        for (text, mention) in [
            ("sqlite:///x.db?mode=ro", "unknown option `mode`"),
            ("sqlite:///x.db?synchronous=off", "synchronous has a value"),
            ("sqlite://", "names no file"),
            ("sqlite::memory:", "names no file"),
        ] {
            assert!(shown(text).contains(mention), "{}", shown(text));
        }
    }
}
