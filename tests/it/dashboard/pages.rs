//! What pages show, and what they do not do with it.

use std::collections::BTreeSet;

use tests::api::Server;
use tests::cli::User;

use super::browser::{Browser, links, unescaped};
use super::{idle_server, user_with};

/// Something of everything: jobs of each state, schedules of several, plugins and queues.
fn furnished() -> (User, Server) {
    let user = user_with(&["hello", "faults"]);
    user.ok(["schedule", "hello:greet", "--id", "a/b ?&#.%", "--interval", "1h", "--arg", "name=x"]);
    user.ok([
        "schedule",
        "hello:greet",
        "--id",
        "..",
        "--cron",
        "30 2 * * *",
        "--timezone",
        "Europe/Berlin",
        "--arg",
        "name=x",
    ]);
    user.ok(["schedules", "pause", ".."]);
    user.host(["run", "faults:fails_for_now", "--arg", "message=broken", "--max-attempts", "1"]);
    user.ok(["run", "hello:greet", "--arg", "name=Ada"]);
    user.ok(["submit", "hello:greet", "--arg", "name=Eve", "--in", "1h"]);
    user.ok(["schedules", "run", "a/b ?&#.%"]);
    let server = idle_server(&user, &[]);
    (user, server)
}

/// Fails where a page has code or styles of its own.
#[track_caller]
fn check_inline(path: &str, page: &str) {
    let tags = page.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    let mut scripts = 0;
    for (tag, behind) in tags {
        let name = tag.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        assert!(!["style", "iframe", "object", "embed", "base"].contains(&name.as_str()), "{path}: <{tag}>");
        if name == "script" {
            scripts += 1;
            assert!(tag.contains(" src=\"/") && behind.is_empty(), "{path}: <{tag}>{behind}");
        }
        for attribute in tag.split_ascii_whitespace().skip(1) {
            let is_code = attribute.starts_with("on") && attribute.contains('=');
            assert!(
                !is_code && !attribute.starts_with("style=") && !attribute.contains("javascript:"),
                "{path}: {tag}"
            );
        }
    }
    assert_eq!(scripts, 1, "{path} has another script than ours");
}

#[test]
fn every_link_of_every_page_leads_somewhere_and_no_page_has_code_of_its_own() {
    let (_user, server) = furnished();
    let browser = Browser::logged_in(&server, "all");
    let mut open = vec!["/".to_owned()];
    let mut seen: BTreeSet<String> = open.iter().cloned().collect();
    let mut kinds = BTreeSet::new();
    while let Some(path) = open.pop() {
        let target = path.split('#').next().expect("a part before it");
        let answer = browser.get(target);
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.told());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        kinds.insert(target.split('?').next().expect("a path").to_owned());
        if path.starts_with("/assets/") {
            assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
            continue;
        }
        let policy = answer.header("content-security-policy").expect("a policy");
        for rule in ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let page = String::from_utf8(answer.body).expect("UTF-8");
        check_inline(&path, &page);
        for link in links(&page) {
            let link = if link.starts_with('#') { continue } else { link };
            assert!(link.starts_with('/') && !link.starts_with("//"), "{path} leads out to {link}");
            if seen.insert(link.clone()) {
                open.push(link);
            }
        }
        assert!(seen.len() < 500, "there is no end of links: {seen:?}");
    }
    for kind in [
        "/",
        "/jobs",
        "/job",
        "/schedules",
        "/schedule",
        "/schedule/remove",
        "/tasks",
        "/task",
        "/plugins",
        "/plugin",
        "/queues",
        "/schedulers",
    ] {
        assert!(kinds.contains(kind), "no link leads to {kind}: {kinds:?}");
    }
    check_inline("/login", &Browser::new(&server).page("/login"));
}

#[test]
fn a_page_says_what_the_command_line_says() {
    let (user, server) = furnished();
    let browser = Browser::logged_in(&server, "all");
    let failed = user.json(&["jobs", "--outcome", "error"])[0]["id"].as_str().expect("it failed").to_owned();
    let page = unescaped(&browser.page(&format!("/job?id={failed}")));
    for text in ["guest_error: ", "broken", "\"message\": \"broken\"", "attempt 1 of 1", "results kept"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let overview = unescaped(&browser.page("/"));
    assert!(overview.contains("waiting for a worker") && overview.contains("faults:fails_for_now"), "{overview}");
    let schedule = unescaped(&browser.page("/schedule?id=%2E%2E"));
    assert!(schedule.contains("paused") && schedule.contains("Europe/Berlin"), "{schedule}");
    let list = unescaped(&browser.page("/jobs?schedule=a%2Fb%20%3F%26%23%2E%25"));
    assert!(list.contains("hello:greet") && !list.contains("faults:"), "{list}");
    assert!(browser.page("/jobs?outcome=abandoned").contains("No jobs pass these filters"));
    let plugin = unescaped(&browser.page("/plugin?name=hello"));
    assert!(plugin.contains("nothing of this host") && plugin.contains("current"), "{plugin}");
}

#[test]
fn a_change_of_the_clocks_is_told_among_the_next_fire_times() {
    let user = user_with(&["hello"]);
    user.ok([
        "schedule",
        "hello:greet",
        "--id",
        "night",
        "--cron",
        "30 2 1 * *",
        "--timezone",
        "Europe/Berlin",
        "--arg",
        "name=x",
    ]);
    let server = idle_server(&user, &[]);
    let page = Browser::logged_in(&server, "read").page("/schedule?id=night");
    // Within twenty months the clocks are changed at least three times.
    assert!(unescaped(&page).contains("its clock has been put forward by 1h"), "{page}");
    assert!(unescaped(&page).contains("its clock has been put back by 1h"), "{page}");
}

#[test]
fn what_others_wrote_is_shown_and_not_obeyed() {
    let user = user_with(&["faults"]);
    let nasty = "</pre><script>alert(1)</script>\u{202e}\u{1b}[31m\"onload=\"x";
    let id = "<script>alert(2)</script>\"'";
    user.ok(["schedule", "faults:echo", "--id", id, "--interval", "1h", "--arg", &format!("value={nasty}")]);
    user.host(["run", "faults:panics", "--arg", &format!("message={nasty}"), "--max-attempts", "1"]);
    user.ok(["run", "faults:echo", "--arg", &format!("value={nasty}")]);
    user.ok(["schedules", "run", id]);
    let server = idle_server(&user, &[]);
    let browser = Browser::logged_in(&server, "all");
    let mut pages = vec!["/".to_owned(), "/jobs".to_owned(), "/schedules".to_owned()];
    pages.push("/schedule?id=%3Cscript%3Ealert%282%29%3C%2Fscript%3E%22%27".to_owned());
    let jobs = user.json(&["jobs"]);
    pages.extend(
        jobs.as_array().expect("a list").iter().map(|job| format!("/job?id={}", job["id"].as_str().expect("an id"))),
    );
    assert_eq!(pages.len(), 7);
    for path in &pages {
        let page = browser.page(path);
        check_inline(path, &page);
        assert!(!page.chars().any(|c| c == '\u{202e}' || c == '\u{1b}'), "{path}: {page}");
    }
    let of = |task: &str| {
        let job =
            jobs.as_array().expect("a list").iter().find(|job| job["task_id"] == task && job["outcome"] != "null");
        browser.page(&format!("/job?id={}", job.expect("it is there")["id"].as_str().expect("an id")))
    };
    // It is not taken away either.
    assert!(of("faults:panics").contains("&#60;script&#62;alert(1)&#60;/script&#62;\u{27e8}U+202E\u{27e9}"));
    assert!(browser.page("/schedules").contains("&#60;script&#62;alert(2)"));
    // Nor is what comes with the request.
    for path in [
        "/jobs?state=%3Cscript%3E",
        "/jobs?task=%3Cscript%3E",
        "/task?id=%3Cscript%3E",
        "/job?id=%3Cscript%3E",
        "/schedule?id=%3Cscript%3E%E2%80%AE",
        "/%3Cscript%3E",
        "/plugin?name=%3Cscript%3E",
        "/jobs?after=%3Cscript%3E",
    ] {
        let answer = browser.get(path);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        let page = String::from_utf8(answer.body).expect("UTF-8");
        check_inline(path, &page);
        assert!(page.contains("Back to the overview") && !page.contains('\u{202e}'), "{path}: {page}");
    }
}

#[test]
fn integers_are_shown_to_their_last_digit() {
    let user = user_with(&["faults"]);
    let text = user.ok(["submit", "faults:echo", "--arg", "value=[18446744073709551615,-9007199254740993,0.1]"]);
    let server = idle_server(&user, &[]);
    let page = Browser::logged_in(&server, "read").page(&format!("/job?id={text}"));
    for number in ["18446744073709551615", "-9007199254740993", "0.1"] {
        assert!(page.contains(number), "{number}: {page}");
    }
}

#[test]
fn a_list_has_pages_and_a_place_in_it_outlives_its_job() {
    let user = user_with(&["hello"]);
    let first = user.ok(["submit", "hello:greet", "--arg", "name=Ada"]);
    user.ok(["jobs", "cancel", &first]);
    let server = idle_server(&user, &[]);
    let browser = Browser::logged_in(&server, "all");
    for _ in 0..104 {
        assert_eq!(browser.post(&format!("/job/again?id={first}"), "").status, 303);
    }
    let page = browser.page("/jobs?task=hello%3Agreet");
    let rows = |page: &str| page.matches("class=\"id\" href=\"/job?id=").count();
    assert_eq!(rows(&page), 100);
    let next = links(&page).into_iter().find(|link| link.contains("after=")).expect("a next page");
    assert!(next.starts_with("/jobs?task=hello%3Agreet&after="), "{next}");
    let last = browser.page(&next);
    assert_eq!(rows(&last), 5);
    assert!(last.contains(&first) && !links(&last).iter().any(|link| link.contains("after=")));
    let gone = "0190a5b2-0000-7000-8000-000000000000";
    assert!(browser.page(&format!("/jobs?after={gone}")).contains("No more jobs"));
    let answer = browser.get("/jobs?after=nonsense");
    assert!(answer.status == 409 && answer.told().1.contains("not one that a list gave out"), "{:?}", answer.told());
    for path in [format!("/job?id={gone}"), "/schedule?id=gone".to_owned(), "/task?id=gone".to_owned()] {
        let answer = browser.get(&path);
        let page = answer.told().1;
        assert!(
            answer.status == 404 && page.contains("Back to the overview") && page.contains("Hint: "),
            "{path}: {page}"
        );
    }
}

#[test]
fn below_a_path_every_link_and_every_action_stays_there() {
    let user = user_with(&["hello"]);
    let job = user.ok(["submit", "hello:greet", "--arg", "name=Ada"]);
    let server = idle_server(&user, &["--base-path", "/x/y"]);
    let browser = Browser::logged_in_below(&server, "/x/y", "all");
    for path in ["", "/jobs", "/schedules", "/queues", &format!("/job?id={job}")] {
        let page = browser.page(path);
        let actions = page.split("action=\"").skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned));
        for link in links(&page).into_iter().filter(|link| !link.starts_with('#')).chain(actions) {
            assert!(link == "/x/y" || link.starts_with("/x/y/"), "{path}: {link}");
            let answer = browser.get(&link["/x/y".len()..]);
            assert!([200, 405].contains(&answer.status), "{path}: {link}: {}", answer.status);
        }
    }
    let answer = browser.log_in(&server.token, "all", "");
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("; Path=/x/y; ")), "{answer:?}");
    assert_eq!(answer.header("location"), Some("/x/y"));
    assert_eq!(browser.get("/").status, 308, "with a slash at its end");
    let answer = browser.post(&format!("/job/cancel?id={job}"), "");
    assert_eq!(answer.header("location"), Some(format!("/x/y/job?id={job}").as_str()));
}
