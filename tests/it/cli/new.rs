//! The author's way: `host new` in an empty folder, build, register, run.

use std::path::Path;

use tests::cli::User;
use xtask::toolchain::{TARGET, Toolchain};

#[test]
fn a_new_plugin_builds_and_runs_outside_of_the_repository() {
    let user = User::new();
    let said = user.host(["new", "my-plugin"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "my-plugin\n"), "{said:?}");
    let toolchain = Toolchain::find(TARGET).expect("`cargo xtask setup` installs a compiler for plugins");
    // Built in a folder of its own that stays, so that only the first run of this test compiles the SDK.
    let target = xtask::target_folder().join("new-plugin");
    let built = toolchain
        .cargo()
        .args(["build", "--quiet", "--release", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .current_dir(user.home().join("my-plugin"))
        .status()
        .expect("cargo can be started");
    assert!(built.success(), "the new plugin does not build");
    let component = target.join(TARGET).join("release/my_plugin.wasm");
    user.ok(["register".as_ref(), component.as_os_str()]);
    let result: serde_json::Value =
        serde_json::from_str(&user.ok(["run", "mytask", "--arg", "name=Ada"])).expect("JSON");
    assert_eq!(result, serde_json::json!({"text": "Hello, Ada!", "letters": 3}));
}

#[test]
fn a_folder_that_is_there_is_left_alone() {
    let user = User::new();
    std::fs::create_dir(user.home().join("mine")).expect("the home can be written");
    let said = user.host(["new", "mine"]);
    assert_eq!((said.code, said.out.as_str()), (Some(6), ""), "{said:?}");
    assert_eq!(entries(&user.home().join("mine")), Vec::<String>::new());
}

#[test]
fn a_bad_name_or_a_missing_sdk_makes_nothing() {
    let user = User::new();
    for args in [&["new", "My Plugin"][..], &["new", "test"], &["new", "fine", "--sdk", "/no/such/sdk"]] {
        let said = user.host(args);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{args:?}: {said:?}");
        assert!(said.err.starts_with("error: "), "{said:?}");
    }
    assert_eq!(entries(&user.home()), Vec::<String>::new());
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("it can be read");
    entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned()).collect()
}
