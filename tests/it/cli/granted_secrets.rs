//! Secrets: what operators set, and where it is found afterwards.

use std::fs;
use std::path::Path;

use serde_json::json;
use tests::artifacts::plugin;
use tests::cli::{Said, User};
use tests::web::Server;

const VALUE: &str = "hunter2-hunter2";

fn user() -> User {
    User::new().with_env("VALUE", VALUE)
}

#[track_caller]
fn assert_refused(said: &Said, code: i32, mention: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.err.contains(mention), "{mention}: {said:?}");
    assert!(!said.err.contains(VALUE) && !said.out.contains(VALUE), "{said:?}");
}

/// All that is in a folder, and below.
fn contents(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        all.extend(if path.is_dir() { contents(&path) } else { fs::read(path).unwrap_or_default() });
    }
    all
}

fn holds(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_plugin_sends_a_secret_that_it_never_sees_and_a_new_value_needs_no_new_registration() {
    let server = Server::plain(|exchange| exchange.answer(200, "", "well")).expect("a server");
    let (user, fetch) = (user().with_env("NEXT", "swordfish-2"), plugin("fetch"));
    let (origin, grant) = (server.url(""), format!("api-token {}", server.url("")));
    let fetch = fetch.to_str().expect("UTF-8");
    let said = user.host(["register", fetch, "--allow-http", &origin, "--allow-secret", &grant]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let told = said.out + &said.err;
    assert!(told.contains("secret `api-token` is not set yet"), "{told}");
    assert!(told.contains("send the secret `api-token` in headers of requests to"), "{told}");
    let url = format!("url={origin}/");
    let check = || user.host(["run", "fetch:check", "--arg", &url, "--arg", "token=api-token"]);
    assert_refused(&check(), 7, "`host secrets set api-token` sets it");
    for (variable, value) in [("VALUE", VALUE), ("NEXT", "swordfish-2")] {
        user.ok(["secrets", "set", "api-token", "--from-env", variable]);
        let said = check();
        assert_eq!(said.code, Some(0), "{said:?}");
        let seen = server.seen().pop().expect("a request");
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {value}").as_str()));
    }
}

#[test]
fn a_secret_is_listed_without_its_value_and_removed() {
    let (user, faults) = (user(), plugin("faults"));
    assert_eq!(user.json(&["secrets"]), json!([]));
    user.ok(["secrets", "set", "b", "--from-env", "VALUE"]);
    user.ok(["register", faults.to_str().expect("UTF-8"), "--allow-secret", "a:reveal", "--allow-secret", "b"]);
    let listed = user.json(&["secrets", "list"]);
    assert_eq!(
        (&listed[0]["name"], &listed[0]["set_at"], &listed[0]["granted_to"]),
        (&json!("a"), &json!(null), &json!(["faults"]))
    );
    assert_eq!((&listed[1]["name"], &listed[1]["granted_to"]), (&json!("b"), &json!(["faults"])));
    assert!(listed[1]["set_at"].is_string(), "{listed}");
    assert!(user.ok(["secrets"]).contains("not set"));
    user.ok(["secrets", "remove", "b"]);
    assert_refused(&user.host(["secrets", "remove", "b"]), 4, "no secret is set");
    assert_refused(&user.host(["run", "faults:holds_secret", "--arg", "name=b"]), 7, "secret `b` is not set");
}

#[test]
fn a_value_is_found_neither_in_the_store_nor_in_an_export_and_an_import_under_the_same_key_has_it() {
    let (user, other) = (user(), user());
    let faults = plugin("faults");
    user.ok(["secrets", "set", "token", "--from-env", "VALUE"]);
    user.ok(["register", faults.to_str().expect("UTF-8"), "--allow-secret", "token:reveal"]);
    user.ok(["run", "faults:holds_secret", "--arg", "name=token"]);
    let (archive, key) = (user.home().join("all.jsonl"), user.data().join("secret.key"));
    user.ok(["export", archive.to_str().expect("UTF-8")]);
    let export = fs::read(&archive).expect("written");
    assert!(holds(&export, "host.secrets") && !holds(&export, VALUE));
    let all = contents(&user.data());
    assert!(holds(&all, "host.secrets") && !holds(&all, VALUE));

    other.ok(["import", archive.to_str().expect("UTF-8")]);
    let reveal = || other.host(["run", "faults:reveals_secret", "--arg", "name=token"]);
    assert_refused(&reveal(), 7, "there is no such file");
    other.ok(["secrets", "set", "mine", "--from-env", "VALUE"]);
    assert_refused(&reveal(), 7, "sealed under another key");
    fs::remove_file(other.data().join("secret.key")).expect("it was made");
    fs::copy(&key, other.data().join("secret.key")).expect("copied");
    assert_eq!(reveal().out.trim(), format!("\"{VALUE}\""));
}

#[test]
fn a_key_comes_from_a_file_that_nobody_else_may_read_or_from_a_command() {
    use std::os::unix::fs::PermissionsExt as _;
    let user = user();
    user.ok(["secrets", "set", "token", "--from-env", "VALUE"]);
    let key = user.data().join("secret.key");
    assert_eq!(fs::metadata(&key).expect("made").permissions().mode() & 0o777, 0o600);
    let set = |flags: &[&str]| user.host([flags, &["secrets", "set", "token", "--from-env", "VALUE"][..]].concat());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("changed");
    assert_refused(&set(&[]), 2, "others have rights to it");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("changed");
    fs::write(&key, "hunter2").expect("written");
    assert_refused(&set(&[]), 2, "64 hexadecimal digits");
    let digits = "echo 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    assert_eq!(set(&["--secret-key-command", digits]).code, Some(0));
    assert_refused(&set(&["--secret-key-command", "exit 1"]), 5, "did not print the key");
    assert_refused(&set(&["--secret-key-command", digits, "--secret-key-file", "x"]), 2, "cannot be used with");
}

#[test]
fn what_is_no_secret_is_refused_and_changes_nothing() {
    let user = user().with_env("EMPTY", "");
    let large = user.file("large", "x".repeat(40_000));
    let large = large.to_str().expect("UTF-8");
    assert_refused(&user.host(["secrets", "set", "a", "--from-env", "EMPTY"]), 2, "cannot be empty");
    assert_refused(&user.host(["secrets", "set", "a", "--from-env", "NO_SUCH"]), 4, "environment variable");
    assert_refused(&user.host(["secrets", "set", "a", "--from-file", large]), 2, "may have 32768");
    assert_refused(&user.host(["secrets", "set", "a b", "--from-env", "VALUE"]), 2, "not a valid secret name");
    assert_eq!(user.json(&["secrets"]), json!([]));
    assert_refused(&user.host(["kv", "list", "host.secrets"]), 4, "bucket");
    let faults = plugin("faults");
    let faults = faults.to_str().expect("UTF-8");
    for (flags, code, words) in [
        (["--allow-kv", "host.secrets:rw"], 2, "the host's own"),
        (["--allow-secret", "a:rw"], 2, "no grant of a secret"),
        (["--allow-secret", "a ftp://x"], 2, "no pattern of HTTP requests"),
    ] {
        assert_refused(&user.host(["register", faults].iter().chain(&flags)), code, words);
    }
    assert_refused(
        &user.host(["register", faults, "--allow-secret", "a", "--allow-secret", "a:reveal"]),
        2,
        "granted twice",
    );
}
