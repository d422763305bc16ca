//! What a server measures, as Prometheus reads it, and the alerts and the dashboard that are made of it.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tests::api::Server;
use tests::artifacts::plugin;
use tests::cli::User;
use xtask::programs;

use crate::cli::serving::wait_for;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/deploy/prometheus").join(name)
}

fn promtool() -> Command {
    programs::command("promtool").expect("set-up has installed it")
}

/// A server that has run two jobs, one of which has failed.
fn measured_server(user: &User) -> Server {
    let faults = plugin("faults");
    user.ok(["register", faults.to_str().expect("UTF-8")]);
    let server = Server::start(user, &[]);
    for task in ["faults:noop", "faults:traps"] {
        user.host(["submit", task, "--wait"]);
    }
    server
}

fn scraped(server: &Server, accept: &str) -> String {
    let answer = server.ask("GET", "/metrics", &[("accept", accept)], &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with(accept)), "{answer:?}");
    String::from_utf8(answer.body).expect("text")
}

#[test]
fn what_is_measured_is_right_in_both_forms_and_needs_a_token() {
    let user = User::new();
    let server = measured_server(&user);
    assert_eq!(server.ask_plainly("GET", "/metrics", &[], &[]).status, 401);
    let open = scraped(&server, "application/openmetrics-text");
    assert!(open.ends_with("# EOF\n"), "{open}");
    let plain = scraped(&server, "text/plain");
    for text in [&open, &plain] {
        for sample in [
            r#"host_attempts_total{task="faults:noop",end="success"} 1"#,
            r#"host_attempts_total{task="faults:traps",end="error"} 1"#,
            r#"host_attempt_errors_total{kind="trap"} 1"#,
            r#"host_run_seconds_bucket{le="+Inf",task="faults:noop"} 1"#,
            "host_store_up 1",
            "host_schedulers_alive 1",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}: {text}");
        }
    }
    let mut check =
        promtool().args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    check.stdin.take().expect("piped").write_all(plain.as_bytes()).expect("it reads");
    let said = check.wait_with_output().expect("it ends");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// Ended with the test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn prometheus_reads_it() {
    let user = User::new();
    let server = measured_server(&user);
    let tests::api::Place::Tcp(address) = &server.place else { panic!("it listens at an address") };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let config = user.file(
        "prometheus.yaml",
        format!(
            "global: {{scrape_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n- job_name: host\n  authorization: {{credentials_file: {}}}\n  static_configs: [{{targets: ['{address}']}}]\n",
            deploy("alerts.yaml").display(),
            user.data().join("api-token").display()
        ),
    );
    let (listen, storage) = (format!("--web.listen-address=127.0.0.1:{port}"), user.home().join("prometheus"));
    let mut command = programs::command("prometheus").expect("set-up has installed it");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", storage.display()));
    let prometheus = command.arg(listen).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let _prometheus = Prometheus(prometheus);
    let url = format!("http://127.0.0.1:{port}");
    let answer = wait_for("prometheus to have read it", || {
        let said = promtool().args(["query", "instant", &url, "host_attempts_total"]).output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        said.contains("faults:noop").then_some(said)
    });
    assert!(answer.contains(r#"end="success""#) && answer.contains("=> 1 @"), "{answer}");
}

#[test]
fn the_alerts_are_right_and_ring_when_they_should() {
    for command in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]] {
        let said = promtool().args(command).current_dir(deploy("")).output().expect("it runs");
        assert!(said.status.success(), "{said:?}");
    }
}

#[test]
fn the_alerts_and_the_dashboard_speak_of_what_is_measured() {
    let user = User::new();
    let server = measured_server(&user);
    let plain = scraped(&server, "text/plain");
    for file in ["alerts.yaml", "grafana.json"] {
        let text = fs::read_to_string(deploy(file)).expect("it is there");
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let names = text.split(|c| !is_part(c)).filter(|word| word.starts_with("host_"));
        // A file has no clock of its own.
        let names = names.filter(|name| *name != "host_store_clock_ahead_seconds");
        let mut count = 0;
        for name in names {
            count += 1;
            assert!(
                plain.lines().any(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' '])),
                "{file}: {name}"
            );
        }
        assert!(count > 5, "{file}");
    }
    let dashboard = fs::read_to_string(deploy("grafana.json")).expect("it is there");
    serde_json::from_str::<serde_json::Value>(&dashboard).expect("JSON");
}
