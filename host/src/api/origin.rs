//! Where a request comes from, and what server it is meant for.
//!
//! A page of anybody can make a browser on this machine send requests to it: to its address, with the page's name as `Origin`, or under a
//! name of the page's own that resolves to this machine (DNS rebinding), with that name as `Host`. Neither passes. A name cannot be told
//! from a name; an address can, as no page is served by the address of another server.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;
use super::state::Shared;

/// Lets requests pass that are for this server and come from no page but its own.
pub(super) async fn check(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    // No browser reaches a Unix socket.
    let checked = match shared.is_tcp {
        true => checked(&request, &shared.options.allowed_hosts),
        false => Ok(()),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn checked(request: &Request, allowed: &[String]) -> Result<(), Problem> {
    let host = single(request.headers(), &header::HOST)?
        .ok_or_else(|| Problem::bad_request("the request has no header `Host`"))?;
    // A target with a host of its own would be another word on the same matter.
    if request.uri().authority().is_some_and(|authority| authority.as_str() != host) {
        return Err(Problem::bad_request("the request names two hosts"));
    }
    if !is_ours(host, allowed) {
        let hint = "ask by address or as `localhost`, or start the server with --allow-host and that name";
        return Err(Problem::misdirected(format!("this is not the server `{host}`")).with_hint(hint));
    }
    match single(request.headers(), &header::ORIGIN)? {
        None => Ok(()),
        Some(origin) if is_same_origin(origin, host) => Ok(()),
        Some(origin) => Err(Problem::misdirected(format!("pages of `{origin}` may not ask this server"))),
    }
}

/// The value of a header that is there once at most.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| Problem::bad_request(format!("the header `{name}` is not text")))?;
            Ok(Some(text))
        }
        _ => Err(Problem::bad_request(format!("the header `{name}` is there twice"))),
    }
}

/// Whether a page of that origin was served by that host.
pub(super) fn is_same_origin(origin: &str, host: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| origin.strip_prefix(scheme).is_some_and(|it| it.eq_ignore_ascii_case(host)))
}

/// Whether a `Host` is an address, this machine, or a name that was allowed; the port is not looked at, since a tunnel may have another.
fn is_ours(host: &str, allowed: &[String]) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            return address.parse::<Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let is_known = name.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || allowed.iter().any(|it| it.eq_ignore_ascii_case(name));
    is_known && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_this_machine_or_an_allowed_name() {
        let allowed = ["jobs.example.org".to_owned()];
        for host in ["127.0.0.1:7980", "10.0.0.1", "[::1]:80", "[::1]", "LocalHost:1", "Jobs.example.org:443"] {
            assert!(is_ours(host, &allowed), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "127.0.0.1:80@evil.example",
            "localhost:x",
            "localhost:99999",
            "localhost:+80",
            "[::1",
            "[evil]",
            "[::1]evil",
            "jobs.example.org.",
            "0x7f000001",
        ] {
            assert!(!is_ours(host, &allowed), "{host}");
        }
    }

    #[test]
    fn an_origin_is_the_same_where_it_names_the_host_and_port_that_were_asked() {
        assert!(is_same_origin("http://localhost:7980", "localhost:7980"));
        assert!(is_same_origin("https://Jobs.example.org", "jobs.example.org"));
        for origin in
            ["null", "", "http://localhost", "http://localhost:79801", "http://evil.example", "file://localhost:7980"]
        {
            assert!(!is_same_origin(origin, "localhost:7980"), "{origin}");
        }
    }
}
