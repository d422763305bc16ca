//! URLs of event brokers: read once, and shown without what is secret in them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::server_url::{ClientCertificate, ServerKind, ServerUrl, is_plain};
use super::store_url::{sqlite, unknown};
use super::url_error::{UrlError, malformed, scheme_of};

/// Where an event broker is.
#[derive(Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// In the process: others learn of changes by looking into the store.
    Local,
    /// In a file beside the store of that path.
    Sqlite(PathBuf),
    /// On a PostgreSQL server.
    Postgres(ServerUrl),
    /// On a Redis server.
    Redis(MessageServer),
    /// On an MQTT broker.
    Mqtt(MessageServer),
    /// On a NATS server.
    Nats(MessageServer),
}

/// A server that passes messages on. Prints as its URL without user, password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageServer {
    /// Its name or address; an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who the host is to the server.
    pub login: Login,
    /// How the connection is encrypted; `None`: it is not, unless the server asks for it.
    pub tls: Option<MessageTls>,
    /// The channel, topic or subject that the messages go over.
    pub channel: String,
    /// The version of the protocol, where there is more than one. Of MQTT.
    pub version: MqttVersion,
    shown: String,
}

/// What the host shows to be let in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: Option<String>,
    /// The password; of NATS also a token, where there is no password.
    pub password: Option<String>,
    /// A file with the credentials of a NATS user: a token signed by its account, and a key.
    pub credentials: Option<PathBuf>,
}

/// How a connection is encrypted. The server must show a certificate for its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageTls {
    /// The authorities that may vouch for the server, as a PEM file; `None`: those of the system.
    pub roots: Option<PathBuf>,
    /// How the host proves to the server who it is.
    pub client: Option<ClientCertificate>,
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1.
    V3,
    /// 5.
    #[default]
    V5,
}

/// A protocol, by what differs in its URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Redis,
    Mqtt,
    Nats,
}

impl FromStr for BrokerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<BrokerUrl, UrlError> {
        match scheme_of(text) {
            _ if text == "local" => Ok(BrokerUrl::Local),
            Some("sqlite") => sqlite(text).map(|file| BrokerUrl::Sqlite(file.path)),
            Some("postgres" | "postgresql") => ServerUrl::parse(ServerKind::Postgres, text).map(BrokerUrl::Postgres),
            Some("redis" | "rediss") => MessageServer::parse(Protocol::Redis, text).map(BrokerUrl::Redis),
            Some("mqtt" | "mqtts") => MessageServer::parse(Protocol::Mqtt, text).map(BrokerUrl::Mqtt),
            Some("nats" | "tls") => MessageServer::parse(Protocol::Nats, text).map(BrokerUrl::Nats),
            scheme => Err(UrlError {
                what: format!("{} that this version knows", unknown("broker", scheme)),
                hint: "brokers: local, sqlite://PATH, postgres://…, redis://…, rediss://…, mqtt://…, mqtts://…, nats://…, tls://… (NATS)"
                    .to_owned(),
            }),
        }
    }
}

impl Protocol {
    /// The scheme that asks for TLS.
    const fn secure_scheme(self) -> &'static str {
        match self {
            Protocol::Redis => "rediss",
            Protocol::Mqtt => "mqtts",
            Protocol::Nats => "tls",
        }
    }

    const fn port(self, is_secure: bool) -> u16 {
        match self {
            Protocol::Redis => 6379,
            Protocol::Mqtt if is_secure => 8883,
            Protocol::Mqtt => 1883,
            Protocol::Nats => 4222,
        }
    }

    /// The parameter that names what the messages go over, in the protocol's own word.
    const fn channel_parameter(self) -> &'static str {
        match self {
            Protocol::Redis => "channel",
            Protocol::Mqtt => "topic",
            Protocol::Nats => "subject",
        }
    }

    /// What the messages go over, from the value of that parameter.
    fn channel(self, named: Option<&str>) -> Result<String, &'static str> {
        let named = named.unwrap_or(match self {
            Protocol::Redis => "host:events",
            Protocol::Mqtt | Protocol::Nats => "host",
        });
        if named.is_empty() || named.len() > 200 || named.chars().any(|letter| letter.is_control()) {
            return Err("it is 1 to 200 bytes long and has no control characters");
        }
        match self {
            Protocol::Redis => Ok(named.to_owned()),
            // `$` begins the topics of the server itself.
            Protocol::Mqtt if named.contains(['+', '#']) || named.starts_with('$') || named.ends_with('/') => {
                Err("it is the beginning of a topic, without `+`, `#`, a `$` at its beginning and a `/` at its end")
            }
            Protocol::Mqtt => Ok(format!("{named}/events")),
            Protocol::Nats
                if named.contains(['*', '>', ' ']) || named.starts_with('$') || named.split('.').any(str::is_empty) =>
            {
                Err(
                    "it is the beginning of a subject, without `*`, `>`, spaces, empty parts and a `$` at its beginning",
                )
            }
            Protocol::Nats => Ok(format!("{named}.events")),
        }
    }

    const fn known(self) -> &'static str {
        match self {
            Protocol::Redis => "channel; with rediss:// also sslrootcert, sslcert and sslkey",
            Protocol::Mqtt => "topic, version (5 or 3.1.1); with mqtts:// also sslrootcert, sslcert and sslkey",
            Protocol::Nats => "subject, credentials; with tls:// also sslrootcert, sslcert and sslkey",
        }
    }
}

/// The parameters of a URL as they were found.
#[derive(Default)]
struct Parameters {
    channel: Option<String>,
    version: Option<String>,
    credentials: Option<String>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Parameters {
    fn slot(&mut self, protocol: Protocol, is_secure: bool, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "version" if protocol == Protocol::Mqtt => &mut self.version,
            "credentials" if protocol == Protocol::Nats => &mut self.credentials,
            "sslrootcert" if is_secure => &mut self.roots,
            "sslcert" if is_secure => &mut self.certificate,
            "sslkey" if is_secure => &mut self.key,
            _ if name == protocol.channel_parameter() => &mut self.channel,
            _ => return None,
        })
    }

    fn tls(&mut self) -> Result<MessageTls, (&'static str, &'static str)> {
        let roots = self.roots.take().filter(|roots| roots != "system").map(PathBuf::from);
        let client = match (self.certificate.take(), self.key.take()) {
            (Some(certificate), Some(key)) => {
                Some(ClientCertificate { certificate: certificate.into(), key: key.into() })
            }
            (None, None) => None,
            _ => return Err(("one of `sslcert` and `sslkey`", "name both, or neither")),
        };
        Ok(MessageTls { roots, client })
    }
}

impl MessageServer {
    fn parse(protocol: Protocol, text: &str) -> Result<MessageServer, UrlError> {
        let url = Url::parse(text).map_err(|error| broken(text, &error.to_string()))?;
        if url.cannot_be_a_base() {
            return Err(broken(text, "`//` is missing after the scheme"));
        }
        // As in the URL of a store: of a password with such a character in it, a part would pass for something that is shown.
        if url.fragment().is_some() || url.path().contains('@') || url.query().is_some_and(|query| query.contains('@'))
        {
            return Err(broken(text, "it has a `#`, or an `@` after the host"));
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(broken(text, "it names no host"));
        };
        let shown = {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}", url.scheme())
        };
        let fault =
            |what: &str, hint: &str| UrlError { what: format!("the URL `{shown}` has {what}"), hint: hint.to_owned() };
        let database = url.path().trim_matches('/');
        match protocol {
            _ if database.is_empty() => {}
            // Clients put it there by habit. Redis's channels belong to no database.
            Protocol::Redis if database == "0" => {}
            Protocol::Redis => {
                let hint = "channels belong to no database: name one with ?channel=NAME";
                return Err(fault("something after the host", hint));
            }
            Protocol::Mqtt => return Err(fault("something after the host", "name a topic with ?topic=PREFIX")),
            Protocol::Nats => return Err(fault("something after the host", "name a subject with ?subject=PREFIX")),
        }
        let is_secure = url.scheme() == protocol.secure_scheme();
        let mut parameters = Parameters::default();
        for (name, value) in url.query_pairs() {
            if !is_plain(&name) {
                return Err(broken(text, "what follows the `?` are no parameters"));
            }
            let Some(slot) = parameters.slot(protocol, is_secure, &name) else {
                return Err(fault(
                    &format!("an unknown parameter `{name}`"),
                    &format!("known ones: {}", protocol.known()),
                ));
            };
            if value.is_empty() {
                return Err(fault(&format!("an empty `{name}`"), "give it a value, or leave it out"));
            }
            if slot.replace(value.into_owned()).is_some() {
                return Err(fault(&format!("`{name}` twice"), "say it once"));
            }
        }
        let version = match parameters.version.as_deref() {
            None | Some("5") => MqttVersion::V5,
            Some("3.1.1" | "3") => MqttVersion::V3,
            Some(_) => return Err(fault("an unknown `version`", "it is 5 (default) or 3.1.1")),
        };
        let channel = protocol
            .channel(parameters.channel.as_deref())
            .map_err(|rule| fault(&format!("a `{}` that cannot be used", protocol.channel_parameter()), rule))?;
        let tls = if is_secure { Some(parameters.tls().map_err(|(what, hint)| fault(what, hint))?) } else { None };
        let decoded = |part: &str| percent_decoded(part).ok_or_else(|| broken(text, "user or password is no UTF-8"));
        let user = Some(url.username()).filter(|user| !user.is_empty()).map(decoded).transpose()?;
        let password = url.password().map(decoded).transpose()?;
        let credentials = parameters.credentials.map(PathBuf::from);
        if credentials.is_some() && (user.is_some() || password.is_some()) {
            return Err(fault("a user beside its `credentials`", "leave one of them out"));
        }
        if protocol == Protocol::Mqtt && user.is_none() && password.is_some() {
            return Err(fault("a password without a user", "write mqtt://USER:PASSWORD@HOST"));
        }
        Ok(MessageServer {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or_else(|| protocol.port(is_secure)),
            login: Login { user, password, credentials },
            tls,
            channel,
            version,
            shown,
        })
    }
}

fn broken(text: &str, reason: &str) -> UrlError {
    let UrlError { what, hint } = malformed(text, reason);
    UrlError { what, hint: hint.replace("/DATABASE", "") }
}

/// The text that a part of a URL stands for; `None` where that is no UTF-8.
fn percent_decoded(part: &str) -> Option<String> {
    let (mut decoded, mut rest) = (Vec::with_capacity(part.len()), part.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

impl fmt::Display for MessageServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for MessageServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerUrl::Local => f.write_str("local"),
            BrokerUrl::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            BrokerUrl::Postgres(url) => url.fmt(f),
            BrokerUrl::Redis(server) | BrokerUrl::Mqtt(server) | BrokerUrl::Nats(server) => server.fmt(f),
        }
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> MessageServer {
        match text.parse().expect(text) {
            BrokerUrl::Redis(server) | BrokerUrl::Mqtt(server) | BrokerUrl::Nats(server) => server,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_a_url_says_is_understood() {
        let redis = server("rediss://ada:p%40ss%2F@cache.example:7000/0?channel=jobs&sslrootcert=/ca.pem");
        assert_eq!((redis.host.as_str(), redis.port, redis.channel.as_str()), ("cache.example", 7000, "jobs"));
        assert_eq!((redis.login.user.as_deref(), redis.login.password.as_deref()), (Some("ada"), Some("p@ss/")));
        assert_eq!(redis.tls.and_then(|tls| tls.roots), Some("/ca.pem".into()));
        let redis = server("redis://:secret@[::1]");
        assert_eq!((redis.host.as_str(), redis.port, redis.channel.as_str()), ("::1", 6379, "host:events"));
        assert_eq!((redis.login.user, redis.login.password.as_deref(), redis.tls), (None, Some("secret"), None));
        let mqtt = server("mqtts://broker?topic=plant/7&version=3.1.1&sslcert=/c.pem&sslkey=/k.pem");
        assert_eq!((mqtt.port, mqtt.channel.as_str(), mqtt.version), (8883, "plant/7/events", MqttVersion::V3));
        assert!(mqtt.tls.is_some_and(|tls| tls.client.is_some()));
        assert_eq!(server("mqtt://broker").version, MqttVersion::V5);
        let nats = server("nats://token@broker:4223?subject=eu.jobs");
        assert_eq!((nats.port, nats.channel.as_str()), (4223, "eu.jobs.events"));
        assert_eq!(server("tls://broker?credentials=/u.creds").login.credentials, Some("/u.creds".into()));
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_with_the_way_out() {
        for (text, what, hint) in [
            ("redis://h/3", "something after the host", "?channel=NAME"),
            ("redis://h?sslrootcert=/x", "an unknown parameter `sslrootcert`", "with rediss://"),
            ("rediss://h?sslcert=/x", "one of `sslcert` and `sslkey`", "both"),
            ("redis://h?channel=a&channel=b", "`channel` twice", "once"),
            ("redis:h", "`//` is missing", "redis://USER:PASSWORD@HOST:PORT;"),
            ("mqtt://h?topic=a/%23", "a `topic` that cannot be used", "`#`"),
            ("mqtt://h?version=4", "an unknown `version`", "3.1.1"),
            ("mqtt://:p@h", "a password without a user", "USER"),
            ("nats://h?subject=a..b", "a `subject` that cannot be used", "empty parts"),
            ("nats://u:p@h?credentials=/x", "a user beside its `credentials`", "leave one"),
            ("amqp://h", "no kind of broker called `amqp`", "nats://"),
            ("mqtt:///", "it names no host", "HOST"),
        ] {
            let error = text.parse::<BrokerUrl>().expect_err(text);
            assert!(error.what.contains(what) && error.hint.contains(hint), "{text}: {error:?}");
        }
    }

    /// However the password is written, and also where the URL cannot be read for it.
    #[test]
    fn no_password_is_shown_in_any_form_of_url() {
        const ODD: &[char] = &['/', '#', '?', '@', ':', '%', '&', '=', '[', ']', ' ', '+', '\\', '"', 'é', ';'];
        let mut random = fastrand::Rng::with_seed(9);
        for round in 0..20_000 {
            let odd = |random: &mut fastrand::Rng| ODD[random.usize(..ODD.len())];
            let (a, b, c) = (odd(&mut random), odd(&mut random), odd(&mut random));
            let password = match round % 3 {
                0 => format!("hunter{a}{b}swordfish"),
                1 => format!("{a}hunter{b}swordfish{c}"),
                _ => format!("31415{a}{b}27182"),
            };
            let url = match random.u8(..5) {
                0 => format!("redis://:{password}@cache.example:6380"),
                1 => format!("rediss://ada:{password}@cache.example/0?channel=jobs"),
                2 => format!("mqtt://ada:{password}@broker.example"),
                3 => format!("nats://{password}@broker.example:4222"),
                _ => format!("postgres://ada:{password}@db.example/jobs"),
            };
            let shown = match url.parse::<BrokerUrl>() {
                Ok(parsed) => format!("{parsed} {parsed:?}"),
                Err(error) => error.to_string(),
            };
            let told = ["hunter", "swordfish", "31415", "27182"].iter().find(|secret| shown.contains(**secret));
            assert_eq!(told, None, "{url} is shown as {shown}");
        }
    }
}
