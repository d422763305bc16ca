//! Patterns of HTTP requests, held against texts of chance and against another reader of URLs.

use host::model::{HttpHost, HttpPattern, HttpScheme, HttpTarget};
use proptest::prelude::*;
use url::Url;

/// Texts in which the pieces that readers of URLs differ about are frequent.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("granted.example"),
        Just("Granted.EXAMPLE"),
        Just("evil.example"),
        Just("127.0.0.1"),
        Just("2130706433"),
        Just("0x7f"),
        Just("0177"),
        Just("[::1]"),
        Just("[::ffff:127.0.0.1]"),
        Just("xn--bcher-kva"),
        Just("bücher"),
        Just("。"),
        Just("１"),
        Just("@"),
        Just("#"),
        Just("?"),
        Just("/"),
        Just("\\"),
        Just(":"),
        Just("80"),
        Just("443"),
        Just("%"),
        Just("%2e"),
        Just("%2F"),
        Just("%25"),
        Just("."),
        Just(".."),
        Just(";"),
        Just("*"),
        Just(" "),
        Just("\t"),
        Just("\0"),
        Just("a"),
        Just("-"),
        Just("_"),
        Just("0"),
        Just("in"),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_a_pattern_prints_as_one_that_means_the_same(text in prop_oneof![pieces().prop_map(|p| format!("https://{p}")), ".*"]) {
        if let Ok(pattern) = text.parse::<HttpPattern>() {
            prop_assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()), "{}", pattern);
        }
    }

    #[test]
    fn a_request_that_has_one_reading_has_it_for_another_reader_too(authority in pieces(), path in pieces()) {
        let path = format!("/{path}");
        let Ok(target) = HttpTarget::read("GET", HttpScheme::Http, &authority, &path) else { return Ok(()) };
        let url = Url::parse(&format!("http://{authority}{path}"));
        // What is encoded there is nobody's business before it is looked up.
        if url.is_err() && authority.contains("xn--") {
            return Ok(());
        }
        let url = url.map_err(|error| TestCaseError::fail(format!("{authority}{path}: {error}")))?;
        // The other one writes some addresses in another form, which is one of ours as well.
        prop_assert_eq!(HttpHost::read(url.host_str().unwrap_or_default()), Ok(target.host.clone()));
        prop_assert_eq!(url.port_or_known_default(), Some(target.port));
        prop_assert!(url.username().is_empty() && url.password().is_none());
        prop_assert_eq!(target.authority(), HttpTarget::read("GET", HttpScheme::Http, &target.authority(), "/").map(|again| again.authority()).unwrap_or_default());
    }

    #[test]
    fn what_a_beginning_of_paths_allows_begins_so_for_another_reader_too(path in pieces()) {
        let pattern: HttpPattern = "http://granted.example/in".parse().expect("a pattern");
        let path = format!("/in{path}");
        let Ok(target) = HttpTarget::read("GET", HttpScheme::Http, "granted.example", &path) else { return Ok(()) };
        if pattern.allows(&target) {
            let url = Url::parse(&format!("http://granted.example{path}")).expect("a URL");
            prop_assert!(url.path() == "/in" || url.path().starts_with("/in/"), "{}", url);
        }
    }

    #[test]
    fn only_the_host_that_is_granted_is_allowed(authority in pieces()) {
        let pattern: HttpPattern = "http://granted.example:*".parse().expect("a pattern");
        if let Ok(target) = HttpTarget::read("GET", HttpScheme::Http, &authority, "/") {
            let is_granted = target.host == HttpHost::Name("granted.example".to_owned());
            prop_assert_eq!(pattern.allows(&target), is_granted, "{}", authority);
        }
    }
}
