//! The texts of the schema's versions.
//!
//! A migration is a file with the same number and name in each dialect's folder, and never changes once it is released: what it
//! got wrong, the next one mends. The baseline is the schema of one version at once, for databases that have none of ours: they
//! start there and take the later migrations from it. Both ways lead to the same schema; a test compares them.

use sha2::{Digest as _, Sha256};

use crate::sql::statements::query::Dialect;

/// A text that takes the schema to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Migration {
    /// The version that the schema has afterwards.
    pub(super) version: i64,
    /// What it does, in words joined by `_`.
    pub(super) name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    mysql: &'static str,
}

macro_rules! migration {
    ($version:literal, $file:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("migrations/sqlite/", $file)),
            postgres: include_str!(concat!("migrations/postgres/", $file)),
            mysql: include_str!(concat!("migrations/mysql/", $file)),
        }
    };
}

/// Every version, oldest first.
pub(super) const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_initial.sql", "initial"),
    migration!(2, "0002_names.sql", "names"),
    migration!(3, "0003_shares.sql", "shares"),
    migration!(4, "0004_unique.sql", "unique"),
    migration!(5, "0005_rollouts.sql", "rollouts"),
    migration!(6, "0006_resting.sql", "resting"),
    migration!(7, "0007_kv.sql", "kv"),
    migration!(8, "0008_overlap.sql", "overlap"),
    migration!(9, "0009_fires.sql", "fires"),
    migration!(10, "0010_endings.sql", "endings"),
    migration!(11, "0011_groups.sql", "groups"),
    migration!(12, "0012_cancel_grace.sql", "cancel_grace"),
];

/// Where a database without a schema of ours starts.
pub(super) const BASELINE: Migration = migration!(2, "0002_baseline.sql", "baseline");

/// The version that this program needs.
pub(super) fn wanted() -> i64 {
    MIGRATIONS.last().map_or(0, |newest| newest.version)
}

/// What takes a schema of version `current`, 0 if there is none, to the wanted one, in order.
pub(super) fn missing(current: i64) -> impl Iterator<Item = &'static Migration> {
    let start = if current == 0 { Some(&BASELINE) } else { None };
    let current = start.map_or(current, |baseline| baseline.version);
    start.into_iter().chain(MIGRATIONS.iter().filter(move |migration| migration.version > current))
}

impl Migration {
    pub(super) fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
            Dialect::Mysql => self.mysql,
        }
    }

    /// What is run as one: the whole text if the database takes back a change of the schema with its transaction, else each
    /// statement alone.
    pub(super) fn pieces(&self, dialect: Dialect) -> Vec<&'static str> {
        let text = self.text(dialect);
        match dialect {
            Dialect::Sqlite | Dialect::Postgres => vec![text],
            Dialect::Mysql => text.split(";\n").filter(|piece| has_statement(piece)).collect(),
        }
    }

    /// Tells the text from any other, in hexadecimal.
    pub(super) fn checksum(&self, dialect: Dialect) -> String {
        Sha256::digest(self.text(dialect)).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn has_statement(piece: &str) -> bool {
    piece.lines().any(|line| !line.trim().is_empty() && !line.starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one_without_gaps() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=wanted()).collect::<Vec<_>>());
    }

    #[test]
    fn a_fresh_database_starts_at_the_baseline_and_an_older_one_takes_each_step() {
        let names = |current| missing(current).map(|migration| migration.name).collect::<Vec<_>>();
        let later =
            ["shares", "unique", "rollouts", "resting", "kv", "overlap", "fires", "endings", "groups", "cancel_grace"];
        assert_eq!(names(0), [&["baseline"][..], &later].concat());
        assert_eq!(names(1), [&["names"][..], &later].concat());
        assert_eq!(names(wanted()), [""; 0]);
    }

    #[test]
    fn each_dialect_has_the_same_files_and_each_file_is_in_the_list() {
        let mut listed: Vec<String> = MIGRATIONS
            .iter()
            .chain([&BASELINE])
            .map(|migration| format!("{:04}_{}.sql", migration.version, migration.name))
            .collect();
        listed.sort();
        for dialect in ["sqlite", "postgres", "mysql"] {
            let folder = format!("{}/src/sql/migrations/{dialect}", env!("CARGO_MANIFEST_DIR"));
            let entries = std::fs::read_dir(&folder).expect("the folder of a dialect can be read");
            let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
            let mut files: Vec<String> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
            files.sort();
            assert_eq!(files, listed, "{dialect}");
        }
    }

    #[test]
    fn a_piece_is_one_statement() {
        for migration in MIGRATIONS.iter().chain([&BASELINE]) {
            for piece in migration.pieces(Dialect::Mysql) {
                let code: String = piece.lines().filter(|line| !line.starts_with("--")).collect();
                let statements = code.trim_end_matches(';').matches(';').count() + 1;
                assert_eq!(statements, 1, "{piece}");
            }
        }
    }
}
