//! Signals that ask commands to end: Ctrl-C, and SIGTERM as service managers send it.

use std::thread::sleep;
use std::time::Duration;

use tests::artifacts::plugin;
use tests::cli::User;

/// The signals, and the exit codes of a command that ends for them.
const SIGNALS: [(&str, i32); 2] = [("INT", 130), ("TERM", 143)];

fn with(name: &str) -> User {
    let user = User::new();
    user.ok(["register".as_ref(), plugin(name).as_os_str()]);
    user
}

/// Waits until the user's only job runs.
#[track_caller]
fn wait_until_it_runs(user: &User) {
    for _ in 0..3_000 {
        if user.json(&["jobs"])[0]["state"] == "running" {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("the job never ran: {}", user.json(&["jobs"]));
}

#[test]
fn waiting_ends_with_the_signals_code_and_the_job_stays_as_it_was() {
    for (signal, code) in SIGNALS {
        let user = with("hello");
        let waiting = user.start(["submit", "greet", "--arg", "name=Ada", "--wait"], "job ");
        waiting.signal(signal);
        let said = waiting.end();
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{said:?}");
        assert_eq!(user.json(&["jobs"])[0]["state"], "queued");
    }
}

#[test]
fn a_run_that_is_told_to_end_cancels_its_job_and_waits_for_that() {
    for (signal, code) in SIGNALS {
        let user = with("hello");
        let running = user.start(["run", "count", "--arg", "to=100000"], "job ");
        wait_until_it_runs(&user);
        running.signal(signal);
        let said = running.end();
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{said:?}");
        assert!(said.err.contains("the job is cancelled"), "{said:?}");
        assert_eq!(user.json(&["jobs"])[0]["outcome"], "cancelled");
    }
}

#[test]
fn a_run_that_is_told_to_end_before_its_job_begins_cancels_the_job() {
    let user = with("hello");
    // Of this task one runs at a time, and that is this one.
    let first = user.start(["run", "count", "--arg", "to=100000"], "job ");
    wait_until_it_runs(&user);
    let second = user.start(["run", "count", "--arg", "to=1"], "job ");
    second.signal("TERM");
    assert_eq!(second.end().code, Some(143));
    let states: Vec<_> =
        user.json(&["jobs"]).as_array().expect("a list").iter().map(|job| job["state"].clone()).collect();
    assert_eq!(states, ["finished", "running"], "youngest first");
    first.signal("TERM");
    assert_eq!(first.end().code, Some(143));
}

#[test]
fn a_run_that_is_told_twice_leaves_its_job_to_others_at_once() {
    for _ in 0..10 {
        let user = with("faults");
        // Its guest does not listen, and is given five seconds for it.
        let running = user.start(["run", "sleep", "--arg", "ms=600000", "-v"], "job ");
        wait_until_it_runs(&user);
        running.signal("INT");
        running.wait_until_heard("told to end");
        running.signal("TERM");
        let said = running.end();
        if said.code == Some(130) {
            // The five seconds were over before the second signal came.
            continue;
        }
        assert_eq!((said.code, said.out.as_str()), (Some(143), ""), "{said:?}");
        assert_eq!(user.json(&["jobs"])[0]["state"], "running");
        return;
    }
    panic!("ten times the second signal came more than five seconds after the first");
}

#[test]
fn an_invoke_that_is_told_to_end_stops_its_guest_and_reports() {
    for (signal, code) in SIGNALS {
        let user = User::new();
        let faults = plugin("faults");
        let invoking =
            user.start(["invoke".as_ref(), faults.as_os_str(), "spin".as_ref(), "-vv".as_ref()], "attempt begins");
        invoking.signal(signal);
        let said = invoking.end();
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(said.err.contains("\nfuel "), "the report is missing: {said:?}");
    }
}

#[test]
fn a_command_that_goes_on_for_ever_ends_with_the_signals_code() {
    let user = with("hello");
    for (signal, code) in SIGNALS {
        let listening = user.start(["events", "--follow", "-v"], "listening");
        listening.signal(signal);
        assert_eq!(listening.end().code, Some(code));
    }
}
