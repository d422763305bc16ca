//! What a program that embeds `host` compiles with the features it chose, and that all of them go by themselves.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The names of all packages that `host` with these features is built of.
fn packages_with(features: &str) -> BTreeSet<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let answer = Command::new(cargo)
        .current_dir(workspace)
        .args(["tree", "--offline", "--locked", "--package", "host", "--no-default-features", "--features", features])
        .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .output()
        .expect("cargo can be started");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let text = String::from_utf8(answer.stdout).expect("cargo writes text");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Each feature, with packages that are compiled for its sake alone.
const OWN: [(&str, &[&str]); 9] = [
    ("api", &["askama", "axum", "hyper-util", "prometheus-client"]),
    ("cli", &["clap", "clap_builder", "clap_complete", "comfy-table", "toml", "tracing-subscriber"]),
    ("mqtt", &["rumqttc"]),
    ("mysql", &["sqlx-mysql"]),
    ("nats", &["async-nats"]),
    ("postgres", &["sqlx-postgres"]),
    ("redis", &["redis"]),
    ("sqlite", &["sqlx-sqlite", "libsqlite3-sys", "notify"]),
    ("wasm", &["host-sandbox", "wasmtime", "wasmtime-wasi", "cranelift-codegen", "wasmparser", "cap-std"]),
];

#[test]
fn a_feature_that_is_off_leaves_its_packages_out_and_alone_brings_no_others() {
    for (feature, _) in OWN {
        let packages = packages_with(feature);
        assert!(packages.contains("host-core"), "{feature}: {packages:?}");
        for (other, own) in OWN {
            for name in own {
                assert_eq!(packages.contains(*name), other == feature, "`{name}` with `{feature}` alone");
            }
        }
    }
}

#[test]
fn without_a_database_nothing_of_sql_is_compiled_and_without_a_server_no_tls() {
    let found = packages_with("cli,wasm");
    let strangers: Vec<_> = found.iter().filter(|name| name.starts_with("sqlx")).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    assert!(!packages_with("sqlite").contains("rustls"));
    for with_server in ["postgres", "mysql", "redis", "mqtt", "nats"] {
        let found = packages_with(with_server);
        assert!(found.contains("rustls") && found.contains("ring"), "{with_server}");
        // One library for cryptography, not two.
        assert!(!found.contains("aws-lc-rs") && !found.contains("openssl"), "{with_server}");
    }
}
