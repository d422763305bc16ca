//! The schema as the migrations leave it, read from each database's own catalogue.
//!
//! `tests/it/snapshots/schema/` holds what a reviewer has seen, so that a migration shows its effect as a diff:
//! `INSTA_UPDATE=always TEST_BACKENDS=sqlite,postgres,mysql cargo test --workspace --test databases schema` writes it anew. Of a view only
//! the columns are there: each version of a server words the text of a view in its own way.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use anyhow::{Context as _, Result, ensure};
use host::clock::SystemClock;
use host::store::sql::migrate;
use tests::backends::{Backend, Place};

use crate::{ask, block_on};

/// A column of a table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    /// As the database calls it.
    kind: String,
    is_required: bool,
    default: String,
    collation: String,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Index {
    table: String,
    columns: Vec<String>,
    /// How each of the columns compares.
    collations: Vec<String>,
    is_unique: bool,
    is_primary: bool,
    /// Which rows it holds; empty for all.
    only: String,
}

/// A schema.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    tables: BTreeMap<String, Vec<Column>>,
    views: BTreeMap<String, Vec<Column>>,
    /// By name; a primary key is called `TABLE primary`.
    indexes: BTreeMap<String, Index>,
}

/// `table, is it a view, column, type, is it required, default, collation`, in the order of the columns.
fn columns_query(backend: Backend) -> &'static str {
    match backend {
        Backend::Postgres => {
            "SELECT c.relname::text, CASE c.relkind WHEN 'v' THEN '1' ELSE '0' END, a.attname::text,
                format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN '1' ELSE '0' END,
                pg_get_expr(d.adbin, d.adrelid), CASE WHEN a.attcollation = 0 THEN '' ELSE l.collname::text END
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
                LEFT JOIN pg_collation l ON l.oid = a.attcollation
            WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v') ORDER BY c.relname, a.attnum"
        }
        Backend::Mysql => {
            "SELECT c.table_name, CASE t.table_type WHEN 'VIEW' THEN '1' ELSE '0' END, c.column_name, c.column_type,
                CASE c.is_nullable WHEN 'NO' THEN '1' ELSE '0' END,
                CASE WHEN c.column_default = 'NULL' THEN NULL ELSE c.column_default END, c.collation_name
            FROM information_schema.columns c
                JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
            WHERE c.table_schema = DATABASE() ORDER BY c.table_name, c.ordinal_position"
        }
        _ => {
            // The columns of a STRICT table's primary key are required, which `table_info` tells only of those that say so. A collation
            // shows nowhere but in the indexes.
            "SELECT m.name, CASE m.type WHEN 'view' THEN '1' ELSE '0' END, c.name, c.type,
                CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN '1' ELSE '0' END, c.dflt_value, ''
            FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type IN ('table', 'view') ORDER BY m.name, c.cid"
        }
    }
}

/// `index, table, column, collation, is it unique, is it a primary key, condition`, in the order of the columns.
fn indexes_query(backend: Backend) -> &'static str {
    match backend {
        Backend::Postgres => {
            "SELECT i.relname::text, t.relname::text, pg_get_indexdef(x.indexrelid, k.at, true),
                COALESCE(l.collname::text, ''), CASE WHEN x.indisunique THEN '1' ELSE '0' END,
                CASE WHEN x.indisprimary THEN '1' ELSE '0' END, pg_get_expr(x.indpred, x.indrelid)
            FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
                CROSS JOIN generate_series(1, x.indnkeyatts) AS k(at)
                LEFT JOIN pg_collation l ON l.oid = x.indcollation[k.at - 1]
            WHERE t.relnamespace = current_schema()::regnamespace ORDER BY i.relname, k.at"
        }
        Backend::Mysql => {
            "SELECT s.index_name, s.table_name, s.column_name, COALESCE(c.collation_name, ''),
                CASE s.non_unique WHEN 0 THEN '1' ELSE '0' END,
                CASE s.index_name WHEN 'PRIMARY' THEN '1' ELSE '0' END, ''
            FROM information_schema.statistics s JOIN information_schema.columns c
                ON c.table_schema = s.table_schema AND c.table_name = s.table_name AND c.column_name = s.column_name
            WHERE s.table_schema = DATABASE() ORDER BY s.table_name, s.index_name, s.seq_in_index"
        }
        // An integer as primary key is the table's own order, and has no index.
        _ => {
            "SELECT i.name, m.name, c.name, c.coll, CAST(i.\"unique\" AS TEXT), CASE i.origin WHEN 'pk' THEN '1' ELSE '0' END,
                CASE i.partial WHEN 1 THEN substr(x.sql, instr(x.sql, ' WHERE ') + 7) ELSE '' END
            FROM sqlite_master m JOIN pragma_index_list(m.name) i JOIN pragma_index_xinfo(i.name) c ON c.key = 1
                LEFT JOIN sqlite_master x ON x.type = 'index' AND x.name = i.name
            WHERE m.type = 'table'
            UNION ALL
            SELECT '', m.name, c.name, 'BINARY', '1', '1', '' FROM sqlite_master m JOIN pragma_table_info(m.name) c
            WHERE m.type = 'table' AND c.pk > 0 AND NOT EXISTS (SELECT 1 FROM pragma_index_list(m.name) i WHERE i.origin = 'pk')"
        }
    }
}

impl Schema {
    pub(crate) async fn read(backend: Backend, url: &str) -> Result<Schema> {
        let mut schema = Schema::default();
        for row in ask::rows(url, columns_query(backend)).await? {
            let [table, is_view, name, kind, is_required, default, collation] = array(row)?;
            let home = if is_view == "1" { &mut schema.views } else { &mut schema.tables };
            let column = Column { name, kind, is_required: is_required == "1", default, collation };
            home.entry(table).or_default().push(column);
        }
        for row in ask::rows(url, indexes_query(backend)).await? {
            let [name, table, column, collation, is_unique, is_primary, only] = array(row)?;
            let (is_unique, is_primary) = (is_unique == "1", is_primary == "1");
            let name = if is_primary { format!("{table} primary") } else { name };
            let only = only.replace(['(', ')'], "").replace("::text", "");
            let (columns, collations) = (Vec::new(), Vec::new());
            let new = || Index { table, columns, collations, is_unique, is_primary, only };
            let index = schema.indexes.entry(name).or_insert_with(new);
            index.columns.push(column);
            index.collations.push(collation);
        }
        ensure!(schema.tables.len() > 5 && schema.views.len() > 1 && schema.indexes.len() > 10, "it is not all there");
        Ok(schema)
    }
}

fn array(row: Vec<String>) -> Result<[String; 7]> {
    row.try_into().ok().context("a row of the catalogue has seven columns")
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let homes = [("table", &self.tables), ("view", &self.views)];
        for (word, name, columns) in homes.iter().flat_map(|(word, home)| home.iter().map(move |(n, c)| (word, n, c))) {
            writeln!(f, "{word} {name}")?;
            for Column { name, kind, is_required, default, collation } in columns {
                let mut line = format!("    {name} {kind}");
                line.push_str(if *is_required { " not null" } else { "" });
                let mut add = |word: &str, value: &str| {
                    if !value.is_empty() {
                        // Writing to a string cannot fail.
                        let _fine = write!(line, " {word} {value}");
                    }
                };
                add("default", default);
                add("collate", collation);
                writeln!(f, "{line}")?;
            }
            for (name, index) in self.indexes.iter().filter(|(_, index)| index.table == *name) {
                let what = match (index.is_primary, index.is_unique) {
                    (true, _) => "primary key".to_owned(),
                    (false, true) => format!("unique index {name}"),
                    (false, false) => format!("index {name}"),
                };
                let only = if index.only.is_empty() { String::new() } else { format!(" where {}", index.only) };
                writeln!(f, "    {what} ({}){only}", index.columns.join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A place with the schema that the migrations make.
async fn migrated(backend: Backend) -> Result<Place> {
    let place = backend.place()?.context("the store has a place")?;
    migrate::apply(&place.url.parse()?, &SystemClock).await?;
    Ok(place)
}

async fn read(backend: Backend) -> Result<Schema> {
    let place = migrated(backend).await?;
    Schema::read(backend, &place.url).await
}

pub(crate) fn is_the_reviewed_one(backend: Backend) -> Result<()> {
    let schema = block_on(read(backend))?;
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path("../snapshots/schema");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(backend.to_string(), schema));
    Ok(())
}

/// Indexes that differ from SQLite's, with the reason.
const OTHER_INDEXES: &[(Backend, &str, &[&str], &str)] = &[(
    Backend::Mysql,
    "host_jobs_running",
    &["state", "task_id"],
    "there are no partial indexes, so that the state, which the others have as the condition, comes first",
)];

/// Databases whose indexes hold every row: MySQL has no partial ones. Rows whose columns are null, which is what the conditions leave
/// out, stand together at one end of such an index, and nobody looks there.
const WITHOUT_CONDITIONS: &[Backend] = &[Backend::Mysql];

pub(crate) fn agrees_with_sqlite(backend: Backend) -> Result<()> {
    let (ours, theirs) = block_on(async { anyhow::Ok((read(backend).await?, read(Backend::Sqlite).await?)) })?;
    let shape = |home: &BTreeMap<String, Vec<Column>>| -> BTreeMap<String, Vec<(String, bool)>> {
        let column = |column: &Column| (column.name.clone(), column.is_required);
        home.iter().map(|(name, columns)| (name.clone(), columns.iter().map(column).collect())).collect()
    };
    same("tables", &shape(&ours.tables), &shape(&theirs.tables))?;
    let names = |home: &BTreeMap<String, Vec<Column>>| -> BTreeMap<String, Vec<String>> {
        let names = |columns: &Vec<Column>| columns.iter().map(|column| column.name.clone()).collect();
        home.iter().map(|(name, columns)| (name.clone(), names(columns))).collect()
    };
    same("views", &names(&ours.views), &names(&theirs.views))?;
    let has_conditions = !WITHOUT_CONDITIONS.contains(&backend);
    let mut expected = BTreeMap::new();
    for (name, index) in theirs.indexes {
        let mut index = Index { collations: Vec::new(), ..index };
        if !has_conditions {
            index.only.clear();
        }
        if let Some((.., columns, _)) = OTHER_INDEXES.iter().find(|(at, other, ..)| *at == backend && *other == name) {
            index.columns = columns.iter().map(|column| (*column).to_owned()).collect();
        }
        expected.insert(name, index);
    }
    let ours =
        ours.indexes.into_iter().map(|(name, index)| (name, Index { collations: Vec::new(), ..index })).collect();
    same("indexes", &ours, &expected)
}

fn same<T: PartialEq + fmt::Debug>(what: &str, ours: &BTreeMap<String, T>, theirs: &BTreeMap<String, T>) -> Result<()> {
    for name in ours.keys().chain(theirs.keys()) {
        let (ours, theirs) = (ours.get(name), theirs.get(name));
        ensure!(ours == theirs, "{what}, {name}:\n  here      {ours:?}\n  on SQLite {theirs:?}");
    }
    Ok(())
}

pub(crate) fn compares_by_bytes(backend: Backend) -> Result<()> {
    let binary = match backend {
        Backend::Postgres => ["C", ""],
        Backend::Mysql => ["utf8mb4_bin", ""],
        _ => ["BINARY", "BINARY"],
    };
    for (name, index) in block_on(read(backend))?.indexes {
        for (column, collation) in index.columns.iter().zip(&index.collations) {
            ensure!(binary.contains(&collation.as_str()), "{name}: {column} compares as `{collation}`");
        }
    }
    Ok(())
}

pub(crate) fn has_noted_migrations(backend: Backend) -> Result<()> {
    block_on(async {
        let place = backend.place()?.context("the store has a place")?;
        let applied = migrate::apply(&place.url.parse()?, &SystemClock).await?;
        let applied: Vec<_> = applied.iter().map(|step| vec![step.version.to_string(), step.name.to_owned()]).collect();
        // The steps come from one list for all databases; the notes are what this database was left with.
        let kind = if backend == Backend::Mysql { "CHAR" } else { "TEXT" };
        let query =
            format!("SELECT CAST(version AS {kind}), name FROM host_migrations ORDER BY host_migrations.version");
        let noted = ask::rows(&place.url, &query).await?;
        ensure!(noted == applied && !noted.is_empty(), "noted {noted:?}, applied {applied:?}");
        Ok(())
    })
}
