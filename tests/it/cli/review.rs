//! Registration as a review: what a new version changes, who has to agree to more rights, and approvals that are kept in files.

use serde_json::json;
use tests::artifacts::plugin;
use tests::cli::{Said, User};

use super::answering;
use crate::generated::{Encoding, Plugin};

fn example(name: &str) -> String {
    plugin(name).to_str().expect("the path is UTF-8").to_owned()
}

/// That it was refused with this code, and that nothing was changed.
#[track_caller]
fn assert_refused(user: &User, args: &[&str], code: i32, mention: &str) -> Said {
    let before = user.json(&["plugins"]);
    let said = user.host(args);
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.err.starts_with("error: ") && said.err.contains(mention), "{said:?}");
    assert_eq!(user.json(&["plugins"]), before);
    said
}

#[test]
fn an_update_is_reported_by_what_it_adds_takes_away_and_changes() {
    let user = User::new();
    user.ok(["register", &example("hello"), "--name", "p", "--allow-env", "TZ"]);
    let home = user.home();
    let grant = format!("{}::in", home.display());
    let args = ["register", &example("report"), "--name", "p", "--allow-dir", &grant, "--plan"];
    let report = user.ok(args);
    for line in [
        "p:dependencies is new",
        "p:greet is gone: this version does not offer it",
        "asks for wasi:filesystem/types@",
        "MAY NOW: read ",
        "may no longer: the variable TZ, as the host has it when a job runs",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
    let told = user.json(&args);
    let changes = &told["changes"];
    assert_eq!(told["previous"], user.json(&["plugins", "show", "p"])["digest"]);
    assert!(changes["tasks_added"].as_array().expect("a list").contains(&json!("dependencies")), "{changes}");
    assert!(changes["tasks_removed"].as_array().expect("a list").contains(&json!("greet")), "{changes}");
    assert_eq!((&changes["rights_grow"], &changes["rights_added"][0]["type"]), (&json!(true), &json!("dir")));
    assert_eq!(changes["rights_removed"], json!([{"type": "env", "name": "TZ", "has_value": false}]));
}

#[test]
fn a_task_that_is_declared_otherwise_is_reported_with_what_is_different() {
    let user = User::new();
    let described = |file: &str, description: &str| {
        let plugin = Plugin { description: description.to_owned(), ..Plugin::returning(Encoding::Json, b"1") };
        user.file(file, plugin.component()).to_str().expect("the path is UTF-8").to_owned()
    };
    user.ok(["register", &described("one.wasm", "one"), "--name", "p"]);
    let told = user.json(&["register", &described("two.wasm", "two"), "--name", "p"]);
    assert_eq!(told["changes"]["tasks_changed"], json!([{"name": "run", "parts": ["description"]}]));
    let again = user.ok(["register", &described("two.wasm", "two"), "--name", "p"]);
    assert!(again.contains("nothing is different"), "{again}");
}

#[test]
fn more_rights_than_the_current_version_has_need_a_yes() {
    let user = User::new();
    let (one, two) = (answering(&user, "one.wasm", "1"), answering(&user, "two.wasm", "2"));
    let home = user.home().display().to_string();
    let (read, write) = (format!("{home}::d:ro"), format!("{home}::d:rw"));
    let some = format!("{home}::d:rw,max=1MiB");
    // A plugin that has no version yet cannot have more than before.
    user.ok(["register", &one, "--name", "p", "--allow-dir", &read, "--allow-env", "A=1"]);
    for more in [
        &["--allow-dir", &read, "--allow-env", "A=1", "--allow-env", "B"][..],
        &["--allow-dir", &read, "--allow-env", "A"],
        &["--allow-dir", &write, "--allow-env", "A=1"],
        &["--allow-dir", "/::d:ro"],
    ] {
        for file in [&one, &two] {
            let said = assert_refused(&user, &[&["register", file, "--name", "p"], more].concat(), 3, "rights");
            assert!(said.err.contains("hint: if it is to have them, add --yes"), "{said:?}");
        }
    }
    user.ok(["register", &two, "--name", "p", "--allow-dir", &write, "--allow-env", "A=1", "--yes"]);
    // Less, or the same under another name: nothing to agree to.
    user.ok(["register", &two, "--name", "p", "--allow-dir", &some, "--allow-env", "A=2"]);
    user.ok(["register", &one, "--name", "p", "--allow-dir", &format!("{home}::other:ro")]);
    user.ok(["register", &one, "--name", "p"]);
    assert_refused(&user, &["register", &one, "--name", "p", "--allow-env", "A=1"], 3, "`p`");
}

#[test]
fn a_plugin_that_can_only_compute_is_shown_as_pure() {
    let user = User::new();
    let pure = answering(&user, "pure.wasm", "1");
    let report = user.ok(["register", &pure]);
    assert!(report.contains("They are pure: they can only compute, log and return"), "{report}");
    assert!(!user.ok(["register", &example("hello")]).contains("pure"));
    for (plugin, task, is_pure) in [("pure", "run", true), ("hello", "greet", false)] {
        assert_eq!(user.json(&["plugins", "show", plugin])["pure"], is_pure);
        assert_eq!(user.json(&["tasks", "show", task])["pure"], is_pure);
        let tasks = user.json(&["tasks"]);
        let listed = tasks.as_array().expect("a list").iter().find(|listed| listed["name"] == task);
        assert_eq!(listed.expect("it is listed")["pure"], is_pure);
        for shown in [user.ok(["plugins", "show", plugin]), user.ok(["tasks", "show", task])] {
            assert_eq!(shown.contains("pure:"), is_pure, "{shown}");
        }
    }
}

#[test]
fn what_was_approved_is_registered_with_the_rights_of_the_file() {
    let user = User::new().with_env("HOST_REQUIRE_APPROVAL", "true");
    let file = answering(&user, "p.wasm", "1");
    let home = user.home().display().to_string();
    let rights = ["--allow-dir", &format!("{home}::d:rw"), "--allow-env", "TOKEN=secret", "--allow-env", "TZ"];
    let approval = user.ok([&["plugins", "approve", &file][..], &rights].concat());
    assert!(!approval.contains("secret"), "{approval}");
    let approval = user.file("rights.toml", approval);
    let approval = approval.to_str().expect("the path is UTF-8");
    let register = |more: &[&'static str]| [&["register", &file, "--approval", approval], more].concat();

    assert_refused(&user, &["register", &file], 6, "nobody has approved it");
    assert_refused(&user, &register(&[]), 2, "--allow-env TOKEN=VALUE");
    assert_refused(&user, &register(&["--allow-env", "TOKEN=x", "--allow-env", "MORE"]), 6, "does not cover");
    assert_refused(&user, &register(&["--allow-env", "TOKEN"]), 6, "does not cover `--allow-env TOKEN`");
    assert_refused(&user, &register(&["--allow-env", "TOKEN=x", "--name", "q"]), 6, "for plugin `p`");
    let other = answering(&user, "other.wasm", "2");
    let args = ["register", &other, "--name", "p", "--approval", approval, "--allow-env", "TOKEN=x"];
    assert_refused(&user, &args, 6, "for another component");
    assert_refused(&user, &["register", &file, "--approval", "no-such-file"], 4, "no-such-file");

    let registered = user.json(&register(&["--allow-env", "TOKEN=x"]));
    let grants = registered["grants"].as_array().expect("a list");
    assert_eq!(grants.len(), 3, "{registered}");
    assert!(grants.iter().any(|grant| grant["type"] == "dir" && grant["access"] == "rw"), "{registered}");
    // The rights of what is registered can be approved again, and narrowed.
    let narrow = format!("{home}::d:ro");
    let registered = user.json(&[&register(&["--allow-env", "TOKEN=x"])[..], &["--allow-dir", &narrow]].concat());
    assert!(registered["grants"].as_array().expect("a list").iter().any(|grant| grant["access"] == "ro"));
    let approved = user.json(&["plugins", "approve", "p"]);
    assert_eq!((&approved["digest"], &approved["dir"][0]["access"]), (&registered["digest"], &json!("ro")));
    assert_refused(&user, &["plugins", "approve", "nobody"], 4, "nobody");
    assert_refused(&user, &["plugins", "approve", "p", "--name", "q"], 2, "--name");
}

#[test]
fn an_approval_is_agreement_to_more_rights() {
    let user = User::new();
    let file = answering(&user, "p.wasm", "1");
    user.ok(["register", &file]);
    let approval = user.file("rights.toml", user.ok(["plugins", "approve", "p", "--allow-env", "TZ"]));
    user.ok(["register", &file, "--approval", approval.to_str().expect("the path is UTF-8")]);
    let grants = user.json(&["plugins", "show", "p"])["grants"].clone();
    assert_eq!(grants, json!([{"type": "env", "name": "TZ", "has_value": false}]));
}

#[test]
fn an_approval_is_required_where_a_flag_or_the_settings_file_says_so() {
    let user = User::new();
    let file = answering(&user, "p.wasm", "1");
    let settings = user.file("host.toml", "require_approval = true\n");
    let settings = settings.to_str().expect("the path is UTF-8");
    assert_refused(&user, &["--require-approval", "register", &file], 6, "nobody has approved it");
    assert_refused(&user, &["--config", settings, "register", &file], 6, "nobody has approved it");
    user.ok(["register", &file]);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_an_approved_folder_is_refused() {
    let user = User::new();
    let file = answering(&user, "p.wasm", "1");
    let folder = user.home().join("approved");
    std::fs::create_dir(&folder).expect("the home can be written");
    let grant = format!("{}::d:ro", folder.display());
    let approval = user.file("rights.toml", user.ok(["plugins", "approve", &file, "--allow-dir", &grant]));
    std::fs::rename(&folder, user.home().join("elsewhere")).expect("the home can be written");
    std::os::unix::fs::symlink(user.home().join("elsewhere"), &folder).expect("the home can be written");
    let approval = approval.to_str().expect("the path is UTF-8");
    assert_refused(&user, &["register", &file, "--approval", approval], 6, "on this machine");
}
