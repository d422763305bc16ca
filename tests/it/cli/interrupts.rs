//! Interrupts from the keyboard.

use tests::artifacts::plugin;
use tests::cli::User;

fn with_hello() -> User {
    let user = User::new();
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    user
}

#[test]
fn waiting_ends_with_130_and_the_job_stays_as_it_was() {
    let user = with_hello();
    let waiting = user.start(["submit", "greet", "--arg", "name=Ada", "--wait"], "job ");
    waiting.signal("INT");
    let said = waiting.end();
    assert_eq!((said.code, said.out.as_str()), (Some(130), ""), "{said:?}");
    assert_eq!(user.json(&["jobs"])[0]["state"], "queued");
}

#[test]
fn an_interrupted_run_cancels_its_job() {
    let user = with_hello();
    let running = user.start(["run", "count", "--arg", "to=100000"], "job ");
    for _ in 0..3_000 {
        if user.json(&["jobs"])[0]["state"] == "running" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    running.signal("INT");
    let said = running.end();
    assert_eq!(said.code, Some(130), "{said:?}");
    assert_eq!(user.json(&["jobs"])[0]["outcome"], "cancelled");
}

#[test]
fn an_interrupted_invoke_stops_its_guest() {
    let user = User::new();
    let faults = plugin("faults");
    let invoking =
        user.start(["invoke".as_ref(), faults.as_os_str(), "spin".as_ref(), "-vv".as_ref()], "attempt begins");
    invoking.signal("INT");
    assert_eq!(invoking.end().code, Some(130));
}
