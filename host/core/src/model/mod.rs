//! The nouns of the runtime and their laws.
//!
//! Nothing here does I/O, waits, reads a clock, or knows how it is stored, sent or shown: those forms live with the
//! stores, the command line and the boundary to the guest, each with its own version.
//!
//! One word for each idea, everywhere in code, SQL, WIT, JSON and documents:
//!
//! | word | meaning |
//! |---|---|
//! | plugin | a registered component, in versions named by digest |
//! | task | what can run, offered by a plugin or derived by configuration |
//! | trigger | the rule of a schedule |
//! | schedule | a task with a trigger |
//! | job | one request to run a task |
//! | attempt | one try at a job |
//! | lease | a claim that ends by itself |
//! | outcome | how a job ended |
//! | scheduler | the process that does the work, with an identity and a role |
//! | grant | a right given to a plugin |
//! | hint | a wake-up that may be lost |
//! | bucket | keys and values that plugins keep between jobs |
//! | secret | a value that plugins use and nobody sees |

pub mod ability;
pub mod concurrency;
pub mod effects;
pub mod event;
pub mod fire;
pub mod hook_call;
pub mod hooks;
pub mod http;
pub mod id;
pub mod job;
pub mod json;
pub mod kv;
pub mod limits;
mod memory;
pub mod outcome;
pub mod overlap;
pub mod payload;
pub mod permission;
pub mod plugin;
pub mod retry;
pub mod rollout;
pub mod schedule;
pub mod secret;
pub mod settings;
pub mod task;
pub mod time;

pub use ability::Ability;
pub use concurrency::ConcurrencyKey;
pub use effects::{AddSchedule, Effects};
pub use event::{Event, EventKind, EventType, ReleaseError, ReleasedJob};
pub use fire::{Fate, FireLine};
pub use hook_call::{EMBEDDED_BYTES_MAX, HookCall, HowEnded};
pub use hooks::{Hook, HookSettings, Hooks};
pub use http::{HttpHost, HttpPattern, HttpPatternError, HttpScheme, HttpTarget, HttpTargetError, closed_address};
pub use id::{
    BucketName, Digest, ExecutorName, IdError, Incarnation, JobId, JobIdSource, KvKey, LeaseToken, PluginName,
    QueueName, ScheduleId, ScheduleLife, SchedulerId, SecretName, TaskId, TaskName, TokenName, unseen_character,
};
pub use job::{
    CancelRequest, ConcernedSchedule, FireKey, Job, JobSettings, JobSpec, JobState, Lease, LogLevel, LogLine, Progress,
    UniqueKey,
};
pub use kv::{KvEntry, KvRefusal, KvWrite, KvWrites};
pub use memory::MemoryLoad;
pub use outcome::{ErrorKind, HttpUsage, JobError, Outcome, Usage};
pub use overlap::Overlap;
pub use payload::{Encoding, Metadata, Payload};
pub use permission::{Permission, Permissions};
pub use plugin::{DirAccess, FolderIdentity, Grant, Import, KvAccess, PluginVersion, TaskDeclaration, WriteQuota};
pub use retry::Backoff;
pub use rollout::{Percent, Rollout, RolloutEnd, RolloutState};
pub use schedule::{Coalesce, ConflictPolicy, Pause, Schedule};
pub use secret::{SecretGrant, SecretValue};
pub use settings::{GraceTime, Parallelism, PauseAfter, ResolvedSettings, Settings};
pub use task::{Target, Task};
pub use time::{Timestamp, TimestampError};
