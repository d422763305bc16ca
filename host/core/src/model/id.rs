//! Names of things. Each kind of id is a type of its own, and an id that exists is a valid one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use super::Timestamp;
use super::limits::{ID_BYTES_MAX, PLUGIN_NAME_BYTES_MAX, TASK_NAME_BYTES_MAX};

/// A text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {rule}")]
pub struct IdError {
    text: String,
    kind: &'static str,
    rule: &'static str,
}

/// The beginning of a text that is no id, with what does not show written out.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(ID_BYTES_MAX) {
        if is_unseen(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// [`IdError`] with the rule that `text` breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                if $check(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(IdError { text: shown(text), kind: $kind, rule: $rule })
                }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The name of a plugin. Lower case, because it becomes part of ids, file names and log lines on every system.
    PluginName, "plugin name", is_plugin_name,
    "use 1 to 64 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"
}
text_id! {
    /// The name of a task inside its plugin: what the author called it.
    TaskName, "task name", is_task_name,
    "use 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"
}
text_id! {
    /// The id of a task: `plugin:task` for one that a plugin offers, any other id for one made by configuration.
    TaskId, "task id", is_general_id,
    "use 1 to 191 bytes without blanks at the ends and without control characters"
}
text_id! {
    /// The id of a schedule, chosen by its creator or generated.
    ScheduleId, "schedule id", is_general_id,
    "use 1 to 191 bytes without blanks at the ends and without control characters"
}
text_id! {
    /// The identity of a scheduler process. One that keeps it over restarts takes back its own jobs at once.
    SchedulerId, "scheduler identity", is_general_id,
    "use 1 to 191 bytes without blanks at the ends and without control characters"
}
text_id! {
    /// One life of a scheduler, from its start to its end: unlike every other, also of the same identity.
    Incarnation, "incarnation of a scheduler", is_general_id,
    "use 1 to 191 bytes without blanks at the ends and without control characters"
}
text_id! {
    /// The name of a job executor, such as `wasm`.
    ExecutorName, "executor name", is_plugin_name,
    "use 1 to 64 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"
}

text_id! {
    /// The name of a queue: jobs of one queue are ordered by priority and age, and a worker says which queues it serves.
    QueueName, "queue name", is_plugin_name,
    "use 1 to 64 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"
}

text_id! {
    /// The name of a bucket: what a plugin keeps between jobs is in one, and several plugins may share it.
    BucketName, "bucket name", is_plugin_name,
    "use 1 to 64 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"
}
text_id! {
    /// The name of a secret. Letters of either case, because many are known by the variable they used to be in.
    SecretName, "secret name", is_task_name,
    "use 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"
}
text_id! {
    /// The name of a token of the HTTP interface.
    TokenName, "token name", is_task_name,
    "use 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"
}
text_id! {
    /// A key in a bucket.
    KvKey, "key", is_general_id,
    "use 1 to 191 bytes without blanks at the ends and without control characters"
}

impl BucketName {
    /// The bucket in which the host keeps secrets, sealed.
    pub fn of_secrets() -> BucketName {
        BucketName(Arc::from("host.secrets"))
    }

    /// The bucket in which the host keeps signatures of components.
    pub fn of_signatures() -> BucketName {
        BucketName(Arc::from("host.signatures"))
    }

    /// The bucket in which the host keeps the tokens of its HTTP interface, by their hashes.
    pub fn of_tokens() -> BucketName {
        BucketName(Arc::from("host.tokens"))
    }

    /// Whether it is the host's own: no plugin can be granted it, and no command shows what is in it.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("host.")
    }
}

impl SecretName {
    /// The key of the secret in the bucket of secrets.
    pub fn key(&self) -> KvKey {
        // A name of 64 bytes of its kind is always a key.
        KvKey(Arc::clone(&self.0))
    }
}

impl TokenName {
    /// The key of the token in the bucket of tokens.
    pub fn key(&self) -> KvKey {
        // A name of 64 bytes of its kind is always a key.
        KvKey(Arc::clone(&self.0))
    }
}

impl Default for QueueName {
    /// The queue of jobs that name none.
    fn default() -> QueueName {
        QueueName(Arc::from("default"))
    }
}

impl TaskId {
    /// The id of the task `task` that `plugin` offers.
    pub fn of_plugin(plugin: &PluginName, task: &TaskName) -> TaskId {
        // Two names of at most 64 bytes and a colon always keep the law of a task id.
        TaskId(Arc::from(format!("{plugin}:{task}")))
    }
}

fn is_plugin_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= PLUGIN_NAME_BYTES_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || b"._-".contains(&byte))
}

fn is_task_name(text: &str) -> bool {
    text.len() <= TASK_NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_general_id(text: &str) -> bool {
    // NUL is among the control characters: PostgreSQL cannot store it in a text.
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.trim() == text && !text.chars().any(char::is_control)
}

/// The first character of an id that does not show, or changes how its neighbours do. With one of these, two ids look alike and are not, so
/// nothing new gets one; what is stored may have some.
pub fn unseen_character(text: &str) -> Option<char> {
    text.chars().find(|c| is_unseen(*c))
}

/// Control characters, those that turn the direction of writing, and all others that Unicode calls ignorable by default.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The id of a job: a UUID of version 7, so that ids sort by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Uuid);

impl JobId {
    /// The id in its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id from its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> JobId {
        JobId(Uuid::from_bytes(bytes))
    }

    /// The id of a job that is made at `now` because this one has ended after so many attempts: the same whoever asks, and however often.
    pub(super) fn follower(self, attempt: u32, now: Timestamp) -> JobId {
        let (high, low) = self.0.as_u64_pair();
        let seed = high ^ low ^ u64::from(attempt);
        JobId(Uuid::from_u128(Self::bits(now, fastrand::Rng::with_seed(seed).u64(..))))
    }

    /// The bits of an id for something made at `now`.
    fn bits(now: Timestamp, random: u64) -> u128 {
        // RFC 9562, section 6.2, method 3: the twelve bits after the milliseconds hold the fraction of the millisecond.
        let micros = u128::try_from(now.as_micros()).unwrap_or(0);
        let (millis, fraction) = (micros / 1_000, (micros % 1_000) * 4_096 / 1_000);
        (millis << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | u128::from(random >> 2)
    }
}

impl FromStr for JobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Uuid::try_parse(text).map(JobId).map_err(|_| IdError {
            text: shown(text),
            kind: "job id",
            rule: "it is a UUID such as 0198c5b2-7c1e-7c3a-9d2f-3f1d9a6b2c44",
        })
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes [`JobId`]s that grow strictly within one source, also inside one microsecond, so that "older" and "smaller id"
/// are the same thing for the jobs of one process.
#[derive(Debug)]
pub struct JobIdSource {
    random: fastrand::Rng,
    last: u128,
}

impl JobIdSource {
    /// A source whose random bits come from `random`.
    pub fn new(random: fastrand::Rng) -> JobIdSource {
        JobIdSource { random, last: 0 }
    }

    /// An id for something made at `now`, larger than every id this source has made before.
    pub fn next(&mut self, now: Timestamp) -> JobId {
        self.last = JobId::bits(now, self.random.u64(..)).max(self.last + 1);
        JobId(Uuid::from_u128(self.last))
    }
}

/// What a holder of leases shows with every write, so that a late one changes nothing: 128 random bits for each acquisition.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken([u8; 16]);

impl LeaseToken {
    /// A token that nobody has had before.
    pub fn random(random: &mut fastrand::Rng) -> LeaseToken {
        LeaseToken(random.u128(..).to_be_bytes())
    }

    /// The token in its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The token from its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> LeaseToken {
        LeaseToken(bytes)
    }
}

impl fmt::Debug for LeaseToken {
    /// Only the beginning: whoever knows a token may write to the job.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}…", self.0[0], self.0[1])
    }
}

/// Which of the schedules that have had one id, one after the other. A fire is made once in each life: a schedule that is replaced, or
/// removed and added again, begins a new one.
///
/// The default is that of schedules that were stored before lives were told apart, and of jobs that no schedule made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleLife(i64);

impl ScheduleLife {
    /// A life that no schedule has had before.
    pub fn random(random: &mut fastrand::Rng) -> ScheduleLife {
        ScheduleLife(random.i64(1..))
    }

    /// The life as the number that is stored.
    pub const fn as_number(self) -> i64 {
        self.0
    }

    /// The life from its number.
    pub const fn from_number(number: i64) -> ScheduleLife {
        ScheduleLife(number)
    }
}

/// The SHA-256 digest of a component: the name of one version of a plugin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// The digest in its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits.
impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let nibble = |at: usize| text.as_bytes().get(at).and_then(|&byte| char::from(byte).to_digit(16));
        let mut bytes = [0_u8; 32];
        let complete = text.len() == 64
            && bytes.iter_mut().enumerate().all(|(i, byte)| match (nibble(2 * i), nibble(2 * i + 1)) {
                (Some(high), Some(low)) => {
                    *byte = u8::try_from(high * 16 + low).unwrap_or(u8::MAX);
                    true
                }
                _ => false,
            });
        complete.then_some(Digest(bytes)).ok_or_else(|| IdError {
            text: shown(text),
            kind: "SHA-256 digest",
            rule: "it has 64 hexadecimal digits",
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_file_name_or_a_database_are_refused() {
        for bad in ["", "Upper", "../up", "-dash", "a b", "ä", &"x".repeat(65)] {
            assert!(PluginName::new(bad).is_err(), "{bad}");
        }
        assert!(PluginName::new("my-plugin_2.0").is_ok());
        for bad in ["", " x", "x ", "a\0b", "line\nbreak", &"x".repeat(192)] {
            assert!(ScheduleId::new(bad).is_err(), "{bad:?}");
        }
        assert!(ScheduleId::new("Nightly report, Köln").is_ok());
    }

    #[test]
    fn what_does_not_show_is_found_and_written_out() {
        for unseen in [
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2066}',
            '\u{ad}',
            '\u{feff}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{e0041}',
            '\u{9b}',
        ] {
            assert_eq!(unseen_character(&format!("a{unseen}b")), Some(unseen));
        }
        for seen in ["夜間 報告", "отчёт", "🙂", "a\u{301}", "ß", "naïve", "a\u{a0}b"] {
            assert_eq!(unseen_character(seen), None, "{seen}");
        }
        let said = ScheduleId::new(" a\u{202e}b").expect_err("it begins with a blank").to_string();
        assert!(said.starts_with("` a\\u{202e}b` is not a valid schedule id"), "{said}");
    }

    #[test]
    fn job_ids_of_one_source_grow_strictly_and_sort_by_time() {
        let mut source = JobIdSource::new(fastrand::Rng::with_seed(7));
        let now = Timestamp::from_micros(1_790_000_000_000_123).expect("in range");
        let ids: Vec<JobId> = (0..10_000).map(|_| source.next(now)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        let later = source.next(Timestamp::from_micros(1_790_000_000_001_123).expect("in range"));
        assert!(ids.iter().all(|id| *id < later));
        assert_eq!(Uuid::from_bytes(*later.as_bytes()).get_version_num(), 7);
        assert_eq!(Uuid::from_bytes(*later.as_bytes()).get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn a_digest_is_written_and_read_in_hexadecimal() {
        let digest = Digest::from_bytes([0xa5; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("a5".parse::<Digest>().is_err());
        assert!("g".repeat(64).parse::<Digest>().is_err());
    }
}
