//! Plugins that somebody has to have signed. The signatures are made by minisign itself.

use tests::api::Server;
use tests::cli::{Said, User};
use xtask::programs;

use super::answering;
use crate::api::encoded;

/// A pair of keys in the user's folder, called so.
fn make_keys(user: &User, name: &str) -> String {
    let file = |ending: &str| path(user, &format!("{name}.{ending}"));
    minisign(&["-G", "-W", "-p", &file("pub"), "-s", &file("key")]);
    file("pub")
}

/// Signs a file with the keys of that name, and answers the file of the signature.
fn sign(user: &User, name: &str, file: &str, comment: &str) -> String {
    let signature = format!("{file}.{name}.sig");
    let secret = path(user, &format!("{name}.key"));
    minisign(&["-S", "-s", &secret, "-m", file, "-x", &signature, "-t", comment]);
    signature
}

fn minisign(args: &[&str]) {
    let mut program = programs::command("minisign").expect("set-up has installed it");
    let said = program.args(args).output().expect("it starts");
    assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
}

fn path(user: &User, name: &str) -> String {
    user.home().join(name).to_str().expect("the path is UTF-8").to_owned()
}

#[track_caller]
fn assert_refused(said: &Said, code: i32, mention: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.err.contains(mention), "{mention}: {said:?}");
}

#[test]
fn a_host_that_trusts_keys_registers_what_they_have_signed_and_nothing_else() {
    let user = User::new();
    let (ours, theirs) = (make_keys(&user, "ours"), make_keys(&user, "theirs"));
    let trusting = user.with_env("HOST_TRUSTED_KEYS", &ours);
    let (one, two) = (answering(&trusting, "one.wasm", "1"), answering(&trusting, "two.wasm", "2"));
    let (good, strange) = (sign(&trusting, "ours", &one, "release 7"), sign(&trusting, "theirs", &one, "release 7"));

    assert_refused(&trusting.host(["register", &one]), 6, "the component is not signed");
    assert_refused(&trusting.host(["register", &one, "--signature", &strange]), 6, "no key that this host trusts");
    assert_refused(&trusting.host(["register", &two, "--signature", &good]), 6, "no key that this host trusts");
    assert_refused(&trusting.host(["register", &one, "--signature", &one]), 2, "cannot be read");
    assert_refused(&trusting.host(["register", &one, "--signature", &theirs]), 2, "the signature is none of minisign");
    assert_eq!(trusting.json(&["plugins"]), serde_json::json!([]), "nothing was changed");

    let said = trusting.ok(["register", &one, "--signature", &good]);
    assert!(said.contains("release 7"), "{said}");
    assert_eq!(trusting.ok(["run", "one:run"]).trim(), "1");
    // It is known by now.
    trusting.ok(["register", &one]);
    // Where it is looked for if nobody names it.
    std::fs::rename(sign(&trusting, "ours", &two, "release 8"), format!("{two}.minisig")).expect("it can be renamed");
    trusting.ok(["register", &two]);
}

#[test]
fn a_worker_that_trusts_keys_runs_nothing_else_whatever_is_in_the_store() {
    let user = User::new();
    let (ours, _) = (make_keys(&user, "ours"), make_keys(&user, "theirs"));
    let (one, two) = (answering(&user, "one.wasm", "1"), answering(&user, "two.wasm", "2"));
    let (good, strange) = (sign(&user, "ours", &one, "1"), sign(&user, "theirs", &two, "2"));
    let said = user.host(["register", &one]);
    assert_eq!(said.code, Some(0), "{said:?}");
    // Compiled here before, and another component's signature in the place of its own.
    assert_eq!(user.ok(["run", "one:run"]).trim(), "1");
    for signature in [&good, &strange] {
        let said = user.host(["register", &two, "--signature", signature]);
        assert!(said.code == Some(0) && said.out.contains("its signature was not checked"), "{said:?}");
    }
    let trusts = ["--trusted-keys", &ours];
    for task in ["one:run", "two:run"] {
        let said = user.host(trusts.into_iter().chain(["run", task]));
        assert_refused(&said, 7, "no key that this host trusts has signed");
        assert!(said.err.contains("plugin_unavailable"), "{said:?}");
    }
    let said = user.host(trusts.into_iter().chain(["plugins", "verify"]));
    assert!(said.out.contains("no key that this host trusts has signed it"), "{said:?}");
    user.ok(trusts.into_iter().chain(["register", &one, "--signature", &good]));
    assert_eq!(user.ok(trusts.into_iter().chain(["run", "one:run"])).trim(), "1");
    assert_eq!(user.ok(["run", "two:run"]).trim(), "2", "whoever trusts no keys runs it");
}

#[test]
fn a_version_that_nobody_has_signed_does_not_become_current_again() {
    let user = User::new();
    let ours = make_keys(&user, "ours");
    let (old, new) = (answering(&user, "old.wasm", "1"), answering(&user, "new.wasm", "2"));
    user.ok(["register", &old, "--name", "p"]);
    let good = sign(&user, "ours", &new, "2");
    let trusts = ["--trusted-keys", &ours];
    user.ok(trusts.into_iter().chain(["register", &new, "--name", "p", "--signature", &good]));
    let current = user.json(&["plugins", "show", "p"])["digest"].clone();
    let said = user.host(trusts.into_iter().chain(["plugins", "rollback", "p"]));
    assert_refused(&said, 6, "cannot be made current: no key that this host trusts has signed it");
    assert_eq!(user.json(&["plugins", "show", "p"])["digest"], current);
    user.ok(["plugins", "rollback", "p"]);
}

#[test]
fn an_upload_brings_its_signature_along() {
    let user = User::new();
    let ours = make_keys(&user, "ours");
    let one = answering(&user, "one.wasm", "1");
    let signature = std::fs::read_to_string(sign(&user, "ours", &one, "by upload")).expect("it was written");
    let server = Server::start(&user, &["--trusted-keys", &ours]);
    let component = std::fs::read(&one).expect("it was written");
    let upload = |query: &str| {
        let target = format!("/api/v1/plugins/one{query}");
        server.ask("PUT", &target, &[("content-type", "application/wasm")], &component)
    };
    assert_eq!(upload("").status, 409);
    assert_eq!(upload("?signature=nonsense").status, 400);
    let answer = upload(&format!("?signature={}", encoded(&signature)));
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[test]
fn a_signature_travels_with_an_export() {
    let (user, other) = (User::new(), User::new());
    let ours = make_keys(&user, "ours");
    let one = answering(&user, "one.wasm", "1");
    let good = sign(&user, "ours", &one, "1");
    user.ok(["register", &one, "--signature", &good]);
    let archive = path(&user, "all.jsonl");
    user.ok(["export", &archive]);
    let other = other.with_env("HOST_TRUSTED_KEYS", &ours);
    other.ok(["import", &archive]);
    assert_eq!(other.ok(["run", "one:run"]).trim(), "1");
}

#[test]
fn a_file_of_keys_that_cannot_be_used_stops_every_command_that_opens_the_store() {
    let user = User::new();
    let empty = user.file("empty.keys", "# nobody yet\n");
    for (file, mention) in
        [(path(&user, "missing.keys"), "No such file"), (path(&user, "empty.keys"), "it holds no key")]
    {
        assert_refused(&user.host(["--trusted-keys", &file, "plugins"]), 2, mention);
    }
    let settings = user.file("host.toml", format!("trusted_keys = {:?}\n", empty.display()));
    let settings = settings.to_str().expect("the path is UTF-8");
    assert_refused(&user.host(["--config", settings, "plugins"]), 2, "it holds no key");
}
