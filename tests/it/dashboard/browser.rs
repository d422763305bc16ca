//! A browser that has neither eyes nor scripts.

use tests::api::{Answer, Place, Server};

/// A browser in front of a server.
pub(crate) struct Browser<'a> {
    server: &'a Server,
    base: &'static str,
    /// What it sends with every request.
    pub(crate) cookie: String,
}

impl<'a> Browser<'a> {
    /// One that nobody has logged in with.
    pub(crate) fn new(server: &'a Server) -> Browser<'a> {
        Browser { server, base: "", cookie: String::new() }
    }

    /// One that somebody has logged in with, by the token of the machine. `rights`: `all` or `read`.
    #[track_caller]
    pub(crate) fn logged_in(server: &'a Server, rights: &str) -> Browser<'a> {
        Browser::logged_in_below(server, "", rights)
    }

    /// The same with a path that stands before all others.
    #[track_caller]
    pub(crate) fn logged_in_below(server: &'a Server, base: &'static str, rights: &str) -> Browser<'a> {
        let mut browser = Browser { base, ..Browser::new(server) };
        let answer = browser.log_in(&server.token, rights, "");
        assert_eq!(answer.status, 303, "{:?}", answer.told());
        browser.cookie = cookie_of(&answer);
        browser
    }

    /// The answer to the form of the log-in.
    pub(crate) fn log_in(&self, token: &str, rights: &str, next: &str) -> Answer {
        self.send("/login", &[("origin", &self.origin())], &format!("token={token}&rights={rights}&next={next}"))
    }

    /// What pages of the server have as their origin.
    pub(crate) fn origin(&self) -> String {
        match &self.server.place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Unix(_) => "http://localhost".to_owned(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        let headers = [("accept", "text/html,*/*;q=0.8"), ("cookie", &self.cookie)];
        self.server.ask_plainly("GET", &format!("{}{path}", self.base), &headers, &[])
    }

    /// A page that is there.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.told());
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        String::from_utf8(answer.body).expect("pages are UTF-8")
    }

    /// What the forms of this session carry.
    #[track_caller]
    pub(crate) fn csrf(&self) -> String {
        let page = self.page(if self.base.is_empty() { "/" } else { "" });
        let rest = page.split("name=\"csrf\" value=\"").nth(1).expect("a page has a form");
        rest.split('"').next().expect("a value ends").to_owned()
    }

    /// The answer to a form of ours, with these fields.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, fields: &str) -> Answer {
        let form = format!("csrf={}&{fields}", self.csrf());
        self.send(path, &[("origin", &self.origin())], &form)
    }

    /// The answer to any form.
    pub(crate) fn send(&self, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
        let own = [("content-type", "application/x-www-form-urlencoded"), ("cookie", self.cookie.as_str())];
        let path = format!("{}{path}", self.base);
        self.server.ask_plainly("POST", &path, &[&own, headers].concat(), form.as_bytes())
    }
}

/// The cookie that an answer sets, as it is sent back.
#[track_caller]
pub(crate) fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {:?}", answer.told()));
    cookie.split(';').next().expect("a cookie has a beginning").to_owned()
}

/// The addresses that a page links to, as a browser reads them.
pub(crate) fn links(page: &str) -> Vec<String> {
    let found = ["href=\"", "src=\""].iter().flat_map(|attribute| page.split(attribute).skip(1));
    found.filter_map(|rest| rest.split('"').next()).map(unescaped).collect()
}

/// Text of HTML as a browser reads it.
pub(crate) fn unescaped(text: &str) -> String {
    let pairs = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}
