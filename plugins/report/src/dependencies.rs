//! The figures of a `Cargo.lock`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a lock file says.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Dependencies {
    /// All packages.
    pub packages: usize,
    /// Those of the workspace itself, which come from nowhere.
    pub workspace_members: usize,
    /// Those from anywhere but a registry.
    pub from_git: usize,
    /// Packages that are there in more than one version, with their versions.
    pub duplicates: BTreeMap<String, Vec<String>>,
    /// The packages that most others depend on directly, with how many do, the most wanted first.
    pub most_wanted: Vec<(String, usize)>,
}

#[derive(Deserialize)]
struct LockFile {
    #[serde(rename = "package")]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// How many of the most wanted are listed.
const MOST_WANTED_MAX: usize = 10;

pub(crate) fn read(text: &str) -> Result<Dependencies, toml::de::Error> {
    let lock: LockFile = toml::from_str(text)?;
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for package in &lock.packages {
        versions.entry(package.name.clone()).or_default().push(package.version.clone());
        for dependency in &package.dependencies {
            // "name", or "name version" where the name alone does not say which.
            let name = dependency.split(' ').next().unwrap_or(dependency);
            *wanted.entry(name).or_default() += 1;
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut most_wanted: Vec<_> = wanted.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    most_wanted.sort_by(|(left, few), (right, many)| many.cmp(few).then_with(|| left.cmp(right)));
    most_wanted.truncate(MOST_WANTED_MAX);
    let from = |prefix: &str| {
        let begins = |package: &&Package| package.source.as_deref().is_some_and(|source| source.starts_with(prefix));
        lock.packages.iter().filter(begins).count()
    };
    Ok(Dependencies {
        packages: lock.packages.len(),
        workspace_members: lock.packages.iter().filter(|package| package.source.is_none()).count(),
        from_git: from("git+"),
        duplicates: versions,
        most_wanted,
    })
}

impl Dependencies {
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from("# Dependencies\n\n| | |\n|---|---|\n");
        let rows = [
            ("packages", self.packages),
            ("of the workspace", self.workspace_members),
            ("from git", self.from_git),
            ("in more than one version", self.duplicates.len()),
        ];
        for (what, number) in rows {
            let _ = writeln!(text, "| {what} | {number} |");
        }
        text.push_str("\n## In more than one version\n\n");
        for (name, versions) in &self.duplicates {
            let _ = writeln!(text, "- {name}: {}", versions.join(", "));
        }
        text.push_str("\n## Most wanted\n\n");
        for (name, count) in &self.most_wanted {
            let _ = writeln!(text, "- {name}: {count}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_wishes_are_counted() {
        let lock = r#"
            version = 4
            [[package]]
            name = "mine"
            version = "0.1.0"
            dependencies = ["dup 1.0.0", "leaf"]
            [[package]]
            name = "dup"
            version = "1.0.0"
            source = "registry+https://example.invalid/index"
            dependencies = ["leaf"]
            [[package]]
            name = "dup"
            version = "2.0.0"
            source = "git+https://example.invalid/dup#abc"
            [[package]]
            name = "leaf"
            version = "3.0.0"
            source = "registry+https://example.invalid/index"
        "#;
        let figures = read(lock).unwrap();
        assert_eq!((figures.packages, figures.workspace_members, figures.from_git), (4, 1, 1));
        assert_eq!(figures.duplicates, [("dup".to_owned(), vec!["1.0.0".to_owned(), "2.0.0".to_owned()])].into());
        assert_eq!(figures.most_wanted, [("leaf".to_owned(), 2), ("dup".to_owned(), 1)]);
    }
}
