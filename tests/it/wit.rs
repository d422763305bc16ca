//! The contract in `wit/`: it parses, and everything in it says since when it is there and what it is for.

use std::path::{Path, PathBuf};

use wit_parser::{Docs, PackageId, Resolve, Stability, TypeDefKind, WorldItem};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").join("wit")
}

fn contract() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(folder()).unwrap_or_else(|error| panic!("wit/ does not parse: {error:#}"));
    (resolve, package)
}

/// Calls `look` with the path of each item, its documentation, and its stability where the language has one for it.
fn visit(mut look: impl FnMut(String, &Docs, Option<&Stability>)) {
    let (resolve, package) = contract();
    let package = &resolve.packages[package];
    look("package".to_owned(), &package.docs, None);
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        look(name.clone(), &world.docs, Some(&world.stability));
        for (key, item) in world.imports.iter().chain(&world.exports) {
            let key = resolve.name_world_key(key);
            // `types` is there because others use it; nobody has written the import down.
            let WorldItem::Interface { stability, docs, .. } = item else {
                panic!("{key}: only interfaces belong here")
            };
            if !key.contains("/types@") {
                look(format!("{name} / {key}"), docs, Some(stability));
            }
        }
    }
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        look(name.clone(), &interface.docs, Some(&interface.stability));
        for (function_name, function) in &interface.functions {
            look(format!("{name}.{function_name}"), &function.docs, Some(&function.stability));
        }
        for (type_name, id) in &interface.types {
            let definition = &resolve.types[*id];
            let path = format!("{name}.{type_name}");
            let parts: Vec<(&str, &Docs)> = match &definition.kind {
                // A name taken over from another interface is documented there.
                TypeDefKind::Type(wit_parser::Type::Id(_)) => continue,
                TypeDefKind::Record(record) => record.fields.iter().map(|f| (f.name.as_str(), &f.docs)).collect(),
                TypeDefKind::Variant(variant) => variant.cases.iter().map(|c| (c.name.as_str(), &c.docs)).collect(),
                TypeDefKind::Enum(cases) => cases.cases.iter().map(|c| (c.name.as_str(), &c.docs)).collect(),
                _ => Vec::new(),
            };
            for (part, docs) in parts {
                look(format!("{path}.{part}"), docs, None);
            }
            look(path, &definition.docs, Some(&definition.stability));
        }
    }
}

#[test]
fn every_item_says_since_which_version_it_is_there() {
    let (resolve, package) = contract();
    let newest = resolve.packages[package].name.version.clone().expect("the package has a version");
    let mut seen = 0;
    visit(|path, _, stability| match stability {
        Some(Stability::Stable { since, .. }) => {
            assert!(*since <= newest, "{path} is there since {since}, but the package is {newest}");
            seen += 1;
        }
        Some(other) => panic!("{path} has no @since: {other:?}"),
        None => {}
    });
    assert!(seen > 40, "only {seen} items were looked at");
}

#[test]
fn every_item_and_every_field_is_documented() {
    visit(|path, docs, _| {
        let text = docs.contents.as_deref().unwrap_or_default().trim();
        assert!(text.len() > 5, "{path} is not documented: {text:?}");
    });
}

#[test]
fn the_functions_can_be_called_from_any_language() {
    let (resolve, package) = contract();
    for (name, id) in &resolve.packages[package].interfaces {
        for (function_name, function) in &resolve.interfaces[*id].functions {
            // An async export cannot be built by cargo-component, and not every language has resources.
            let plain = matches!(function.kind, wit_parser::FunctionKind::Freestanding);
            assert!(plain, "{name}.{function_name} is not a plain synchronous function: {:?}", function.kind);
        }
    }
    assert!(
        resolve.packages.len() == 1,
        "the contract stands alone, but needs {:?}",
        resolve.package_names.keys().collect::<Vec<_>>()
    );
}

#[test]
fn the_world_imports_and_exports_what_the_readme_says() {
    let (resolve, package) = contract();
    let world = resolve.select_world(&[package], Some("plugin")).expect("there is a world named plugin");
    let world = &resolve.worlds[world];
    let names = |items: &mut dyn Iterator<Item = &wit_parser::WorldKey>| {
        let mut names: Vec<String> = items.map(|key| resolve.name_world_key(key)).collect();
        names.sort();
        names
    };
    let imports = ["context", "kv", "log", "progress", "scheduler", "secrets", "types"];
    assert_eq!(names(&mut world.imports.keys()), imports.map(|name| format!("jobs:plugin/{name}@0.1.0")));
    assert_eq!(names(&mut world.exports.keys()), ["jobs:plugin/tasks@0.1.0"]);
    let readme = std::fs::read_to_string(folder().join("README.md")).expect("wit/README.md is there");
    for name in imports.into_iter().chain(["tasks", "world"]) {
        assert!(readme.contains(&format!("[{name}.wit]")), "wit/README.md does not list {name}.wit");
    }
}
