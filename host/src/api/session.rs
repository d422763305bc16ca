//! Sessions of browsers, in memory: they end with the process at the latest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::caller::Caller;
use crate::app::{AppResult, TokenHash, hash_of, random_hex};
use crate::clock::{Clock, Instant};

/// How long a session lasts.
pub(super) const SESSION_TIME: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a code that logs a browser in can be used.
const CODE_TIME: Duration = Duration::from_secs(10 * 60);

/// Most sessions, and most codes, at a time. The oldest one gives way.
const HELD_MAX: usize = 1_000;

/// Somebody in front of a browser.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Whose token it was opened with, and those of its permissions that were asked for. It ends with the token.
    pub(super) caller: Caller,
    /// What every form of its pages carries, and no page of anybody else knows.
    pub(super) csrf: Arc<str>,
}

impl Session {
    fn new(caller: Caller) -> AppResult<Session> {
        Ok(Session { caller, csrf: random_hex()?.into() })
    }
}

/// The sessions that are open.
pub(super) struct Sessions {
    clock: Arc<dyn Clock>,
    /// With the port in it: a browser sends the cookies of an address to all of its ports.
    cookie: String,
    held: Mutex<Held>,
    /// That of all browsers, where nobody has to log in.
    everybody: Option<Session>,
}

/// By their hashes, so that the time that a comparison takes tells nothing.
#[derive(Default)]
struct Held {
    sessions: HashMap<TokenHash, (Session, Instant)>,
    codes: HashMap<TokenHash, Instant>,
}

impl Sessions {
    /// None yet, except that everybody has one `without_auth`.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn new(clock: Arc<dyn Clock>, port: u16, without_auth: bool) -> AppResult<Sessions> {
        let everybody = if without_auth { Some(Session::new(Caller::everybody())?) } else { None };
        Ok(Sessions { clock, cookie: format!("host_session_{port}"), held: Mutex::default(), everybody })
    }

    /// A code that logs a browser in, once.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn new_code(&self) -> AppResult<String> {
        let (code, now) = (random_hex()?, self.clock.monotonic());
        let mut held = self.held();
        held.codes.retain(|_, made| now.saturating_since(*made) < CODE_TIME);
        make_room(&mut held.codes, |made| *made);
        held.codes.insert(hash_of(code.as_bytes()), now);
        Ok(code)
    }

    /// Uses a code up. Answers whether it was good.
    pub(super) fn redeem(&self, code: &str) -> bool {
        let made = self.held().codes.remove(&hash_of(code.as_bytes()));
        made.is_some_and(|made| self.clock.monotonic().saturating_since(made) < CODE_TIME)
    }

    /// Opens a session, and answers the cookie of its browser: name and value.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn open(&self, caller: Caller) -> AppResult<String> {
        let (key, session, now) = (random_hex()?, Session::new(caller)?, self.clock.monotonic());
        let mut held = self.held();
        held.sessions.retain(|_, (_, began)| now.saturating_since(*began) < SESSION_TIME);
        make_room(&mut held.sessions, |(_, began)| *began);
        held.sessions.insert(hash_of(key.as_bytes()), (session, now));
        Ok(format!("{}={key}", self.cookie))
    }

    /// The session of a browser that sends these cookies, whatever became of its token.
    pub(super) fn find<'a>(&self, cookies: impl IntoIterator<Item = &'a [u8]>) -> Option<Session> {
        if let Some(everybody) = &self.everybody {
            return Some(everybody.clone());
        }
        let key = self.key(cookies)?;
        let held = self.held();
        let (session, began) = held.sessions.get(&hash_of(key))?;
        (self.clock.monotonic().saturating_since(*began) < SESSION_TIME).then(|| session.clone())
    }

    /// Ends the session of a browser that sends these cookies, and answers the cookie that ends it there.
    pub(super) fn close<'a>(&self, cookies: impl IntoIterator<Item = &'a [u8]>) -> String {
        if let Some(key) = self.key(cookies) {
            self.held().sessions.remove(&hash_of(key));
        }
        format!("{}=", self.cookie)
    }

    /// What our cookie holds among those of some headers.
    fn key<'a>(&self, headers: impl IntoIterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
        let mut cookies = headers.into_iter().flat_map(|header| header.split(|byte| *byte == b';'));
        cookies.find_map(|cookie| cookie.trim_ascii().strip_prefix(self.cookie.as_bytes())?.strip_prefix(b"="))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Each change to it is one call, so that a panic leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the oldest one of as many as may be.
fn make_room<T>(held: &mut HashMap<TokenHash, T>, began: impl Fn(&T) -> Instant) {
    if held.len() >= HELD_MAX
        && let Some(oldest) = held.iter().min_by_key(|(_, one)| began(one)).map(|(hash, _)| *hash)
    {
        held.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::model::{Permission, Timestamp};

    fn sessions() -> (ManualClock, Sessions) {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let sessions = Sessions::new(Arc::new(clock.clone()), 80, false).expect("chance");
        (clock, sessions)
    }

    fn somebody() -> Caller {
        Caller { name: "somebody".into(), permissions: [Permission::Read].into_iter().collect(), token: None }
    }

    #[test]
    fn a_code_is_good_once_and_for_ten_minutes() {
        let (clock, sessions) = sessions();
        let code = sessions.new_code().expect("chance");
        assert!(!sessions.redeem(&code[1..]));
        assert!(sessions.redeem(&code));
        assert!(!sessions.redeem(&code));
        let (late, later) = (sessions.new_code().expect("chance"), sessions.new_code().expect("chance"));
        clock.advance(CODE_TIME - Duration::from_secs(1));
        assert!(sessions.redeem(&late));
        clock.advance(Duration::from_secs(1));
        assert!(!sessions.redeem(&later));
    }

    #[test]
    fn a_session_is_found_among_other_cookies_until_it_is_closed_or_over() {
        let (clock, sessions) = sessions();
        let cookie = sessions.open(somebody()).expect("chance");
        let sent = format!("a=b; {cookie}; host_session_8=x");
        let found = sessions.find([sent.as_bytes()]).expect("it is open");
        assert_eq!((&*found.caller.name, found.caller.permissions), ("somebody", somebody().permissions));
        let longer = format!("{cookie}0");
        for other in ["", "host_session_80", "host_session_80=", longer.as_str()] {
            assert!(sessions.find([other.as_bytes()]).is_none(), "{other}");
        }
        sessions.close([sent.as_bytes()]);
        assert!(sessions.find([sent.as_bytes()]).is_none());
        let cookie = sessions.open(somebody()).expect("chance");
        clock.advance(SESSION_TIME - Duration::from_secs(1));
        assert!(sessions.find([cookie.as_bytes()]).is_some());
        clock.advance(Duration::from_secs(1));
        assert!(sessions.find([cookie.as_bytes()]).is_none());
    }

    #[test]
    fn of_too_many_sessions_the_oldest_gives_way() {
        let (clock, sessions) = sessions();
        let open = || {
            clock.advance(Duration::from_secs(1));
            sessions.open(somebody()).expect("chance")
        };
        let (first, second) = (open(), open());
        (2..=HELD_MAX).for_each(|_| drop(open()));
        assert!(sessions.find([first.as_bytes()]).is_none());
        assert!(sessions.find([second.as_bytes()]).is_some());
    }
}
