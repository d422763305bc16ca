//! The README's commands, run as they stand there.

use std::path::Path;
use std::process::{Command, Stdio};

/// The shell blocks of the README, in order.
fn blocks() -> Vec<String> {
    let text = std::fs::read_to_string(xtask::workspace().join("README.md")).expect("there is a README");
    let blocks: Vec<String> =
        text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("a block ends").to_owned()).collect();
    assert!(blocks.len() > 5, "the README has lost its commands");
    blocks
}

/// Runs a script in the checkout as a user would, and fails with what it printed.
fn run(script: &str, home: &Path) {
    // Where another target folder is in use, the README's `target` is that one.
    let target = xtask::target_folder();
    let script = script.replace("$PWD/target", "$TARGET").replace(" target/", " $TARGET/");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-x", "-c", &script])
        .current_dir(xtask::workspace())
        .env("TARGET", target)
        .env("TMPDIR", home)
        .stdin(Stdio::null())
        .output()
        .expect("bash can be started");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", output.status);
}

#[test]
fn the_demo_does_the_main_job() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let commands = blocks().remove(0);
    let demo =
        commands.lines().find(|line| line.starts_with("cargo xtask demo")).expect("the first block has the demo");
    run(demo, home.path());
    // The block's other command is the one that runs this test.
    let others: Vec<&str> = commands.lines().filter(|line| *line != demo).collect();
    assert!(matches!(others[..], [test] if test.starts_with("cargo xtask test ")), "{others:?}");
}

#[test]
fn the_five_minutes_work_from_top_to_bottom() {
    let home = tempfile::tempdir().expect("a temporary folder");
    run(&blocks()[1..].concat(), home.path());
    let report = std::fs::read_dir(home.path())
        .expect("the temporary folder is there")
        .map(|entry| entry.expect("an entry").path().join("out/dependencies.md"))
        .find(|path| path.is_file());
    let report = std::fs::read_to_string(report.expect("the report was written")).expect("it is text");
    assert!(report.contains("## Most wanted"), "{report}");
}
