//! Flags over environment over file.

use tests::artifacts::plugin;
use tests::cli::User;

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let user = User::new();
    let home = user.home().display().to_string();
    user.file("host.toml", format!("store = \"sqlite://{home}/file.db\"\ndata_dir = \"{home}/data\"\n"));
    let store = |user: &User, flags: &[&str]| {
        let status = user.json(&[&["status"], flags].concat());
        status["store"].as_str().expect("a text").rsplit('/').next().expect("a name").to_owned()
    };
    assert_eq!(store(&user, &[]), "host.db");
    assert_eq!(store(&user, &["--config", "host.toml"]), "file.db");
    let user = user.with_env("HOST_STORE", &format!("sqlite://{home}/env.db"));
    assert_eq!(store(&user, &["--config", "host.toml"]), "env.db");
    let flag = format!("sqlite://{home}/flag.db");
    assert_eq!(store(&user, &["--config", "host.toml", "--store", &flag]), "flag.db");
}

#[test]
fn a_settings_file_with_an_unknown_key_is_refused_with_its_place() {
    let user = User::new();
    user.file("host.toml", "stroe = \"memory:\"\n");
    let said = user.host(["--config", "host.toml", "status"]);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
    assert!(said.err.starts_with("error: the settings file `host.toml` is not valid"), "{said:?}");
    assert!(said.err.contains("line 1") && said.err.contains("stroe"), "{said:?}");
    assert_eq!(user.host(["--config", "missing.toml", "status"]).code, Some(2));
}

#[test]
fn task_defaults_and_caps_of_the_file_hold() {
    let user = User::new();
    user.file(
        "host.toml",
        "[task_defaults]\nmax_running_jobs = 3\nmetadata = { site = \"north\" }\n[caps]\ntimeout = \"1m\"\n",
    );
    let user = user.with_env("HOST_CONFIG", "host.toml");
    user.ok(["register".as_ref(), plugin("hello").as_os_str()]);
    let task = user.json(&["tasks", "show", "greet"]);
    assert_eq!(task["max_running_jobs"], 3);
    assert_eq!(task["metadata"], serde_json::json!({"site": "north", "team": "examples"}));
    let said = user.host(["submit", "greet", "--timeout", "2m"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("above this host's cap of 1m"), "{said:?}");
}

#[cfg(unix)]
#[test]
fn the_data_folder_is_for_the_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::new();
    user.ok(["--data-dir", "own/data", "status"]);
    let mode = std::fs::metadata(user.home().join("own/data")).expect("it was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn data_lives_where_the_base_directory_specification_says() {
    let user = User::new();
    let mut command = user.command(["status", "--json"]);
    let xdg = user.home().join("xdg");
    let output = command.env_remove("HOST_DATA_DIR").env("XDG_DATA_HOME", &xdg).output().expect("starts");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(status["data_dir"], xdg.join("host").display().to_string());
}

#[test]
fn commands_that_need_no_data_work_without_a_home() {
    let user = User::new();
    let trigger = r#"{"type":"date","run_time":"2026-01-01T00:00:00Z"}"#;
    let output = user.command(["trigger", "next", trigger]).env_clear().output().expect("starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2026-01-01T00:00:00+00:00\n");
    let output = user.command(["status"]).env_clear().output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--data-dir"));
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    let mut user = User::new();
    for name in [
        "HOST_STORE",
        "HOST_BROKER",
        "HOST_CONFIG",
        "HOST_AUTO_MIGRATE",
        "HOST_ROLE",
        "HOST_IDENTITY",
        "HOST_LEASE_DURATION",
        "HOST_MAX_CONCURRENT_JOBS",
        "HOST_LOG",
    ] {
        user = user.with_env(name, "");
    }
    assert!(user.json(&["status"])["store"].as_str().expect("a text").ends_with("host.db"));
    let server = user.start(["serve"], "ready: both");
    server.signal("TERM");
    assert_eq!(server.end().code, Some(0));
    let mut command = user.command(["status", "--json"]);
    let output = command.env("HOST_DATA_DIR", "").output().expect("starts");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(status["data_dir"], user.home().join(".local/share/host").display().to_string());
}

#[test]
fn a_switch_in_the_environment_takes_the_usual_words() {
    for (value, code) in [("1", 0), ("0", 0), ("true", 0), ("false", 0), ("yes", 0), ("no", 0), ("on", 0), ("maybe", 2)]
    {
        let user = User::new().with_env("HOST_AUTO_MIGRATE", value);
        let said = user.host(["status", "--json"]);
        assert_eq!(said.code, Some(code), "{value}: {said:?}");
        if code == 2 {
            assert!(said.err.contains("the environment variable HOST_AUTO_MIGRATE"), "{said:?}");
        }
    }
}

#[test]
fn a_wrong_value_from_the_environment_is_reported_with_its_variable_and_one_from_a_flag_is_not() {
    let user = User::new().with_env("HOST_LEASE_DURATION", "soon");
    let said = user.host(["serve"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("soon") && said.err.contains("variable HOST_LEASE_DURATION"), "{said:?}");
    for flag in [&["--lease-duration", "soon"][..], &["--lease-duration=soon"]] {
        let said = user.host([&["serve"], flag].concat());
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("soon") && !said.err.contains("HOST_LEASE_DURATION"), "{said:?}");
    }
    let said = User::new().with_env("HOST_DRAIN_TIMEOUT", "-5s").host(["serve"]);
    assert!(said.err.contains("it is negative") && said.err.contains("variable HOST_DRAIN_TIMEOUT"), "{said:?}");
}
