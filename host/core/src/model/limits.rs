//! Every maximum of the runtime, each with its reason.
//!
//! A limit that an operator may move is only a default here, and says so; the rest are fixed.

use std::time::Duration;

/// Longest name of a plugin, in bytes: it becomes part of task ids and log lines.
pub const PLUGIN_NAME_BYTES_MAX: usize = 64;
/// Longest name of a task inside its plugin, in bytes.
pub const TASK_NAME_BYTES_MAX: usize = 64;
/// Longest id of a task, schedule or scheduler, in bytes: index keys of 191 bytes fit every database we store in.
pub const ID_BYTES_MAX: usize = 191;
/// Longest description of a task, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;
/// Longest JSON Schema (or example) that a task may declare, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;

/// Most tasks that one plugin may offer.
pub const TASKS_PER_PLUGIN_MAX: usize = 256;
/// Largest component that is accepted, in bytes.
pub const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Memory of a compiler, in bytes. Default; an operator may move it. An interpreter of 20 MB needs half of it.
pub const COMPILER_MEMORY_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// How long a compiler may take. Default; an operator may move it.
pub const COMPILER_TIMEOUT: Duration = Duration::from_secs(120);

/// Largest arguments of a job, in bytes. Default; an operator may move it.
pub const ARGS_BYTES_MAX: usize = 1024 * 1024;
/// Largest result of a job, in bytes. Default; an operator may move it.
pub const RESULT_BYTES_MAX: usize = 1024 * 1024;
/// Largest metadata of a task, schedule or job, in bytes of JSON. Default; an operator may move it.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of JSON that is accepted from outside: deeper values cost stack to read.
pub const JSON_DEPTH_MAX: usize = 64;

/// Captured log of one attempt, in bytes. Default; what comes after it is counted and dropped, the guest goes on.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;
/// Captured log of one attempt, in lines. Default; see [`LOG_BYTES_MAX`].
pub const LOG_LINES_MAX: usize = 10_000;
/// Longest single captured line, in bytes; the rest of the line is cut.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;
/// Longest error message or note of progress kept from a guest, in bytes; the rest is cut.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Most links of an error's context chain that are kept.
pub const ERROR_CONTEXT_MAX: usize = 32;

/// Time limit of one attempt where nobody says anything else.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// Fuel of one attempt where nobody says anything else; one unit is about one instruction.
pub const FUEL_DEFAULT: u64 = 50_000_000_000;
/// Memory of one attempt where nobody says anything else: the sum over all memories and tables of its instance.
pub const MEMORY_BYTES_DEFAULT: u64 = 256 * 1024 * 1024;
/// How long a result is kept where nobody says anything else.
pub const RESULT_TTL_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a job is tried where nobody says anything else.
pub const MAX_ATTEMPTS_DEFAULT: u32 = 1;
/// How many crashes of a worker one job survives beyond its own attempts.
pub const CRASH_RETRIES_DEFAULT: u32 = 1;
/// Longest span that a setting may name: ten years. Longer ones are typing errors.
pub const SPAN_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// Most attempts that a job may ask for.
pub const MAX_ATTEMPTS_MAX: u32 = 1_000;
/// Most jobs that one missed stretch of a schedule may create under `coalesce: all`. Default; an operator may move it.
pub const CATCH_UP_MAX: usize = 1_000;
/// Most lines of a schedule's history that are kept. Default; an operator may move it.
pub const HISTORY_MAX: usize = 1_000;
/// For how long they are kept. Default; an operator may move it.
pub const HISTORY_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Most rows that one page of a list holds.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Longest concurrency key, in bytes; a longer one is cut and marked with a checksum.
pub const CONCURRENCY_KEY_BYTES_MAX: usize = 128;
/// Longest unique key of a job, in bytes: it is a part of an index.
pub const UNIQUE_KEY_BYTES_MAX: usize = 128;
/// Longest name of a group of jobs, in bytes: it is a part of an index.
pub const GROUP_BYTES_MAX: usize = 128;
/// Longest text that says where concurrency keys come from, in bytes.
pub const CONCURRENCY_KEY_SOURCE_BYTES_MAX: usize = 512;
/// Most queues that one worker serves.
pub const QUEUES_SERVED_MAX: usize = 64;

/// Files and folders that one attempt may have open at the same time.
pub const OPEN_FILES_MAX: usize = 64;

/// Rights of one plugin to HTTP requests: each request is held against all of them.
pub const HTTP_PATTERNS_MAX: usize = 100;
/// Connections of HTTP that one attempt may have open at the same time. Default; an operator may move it.
pub const HTTP_CONNECTIONS_MAX: usize = 16;
/// Largest body of an HTTP request or response, in bytes. Default; an operator may move it.
pub const HTTP_BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Buckets that one plugin may have rights to.
pub const KV_BUCKETS_MAX: usize = 32;
/// Largest value in a bucket, in bytes: what is larger belongs into a file.
pub const KV_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Keys that one attempt may write.
pub const KV_WRITES_MAX: usize = 1_000;
/// Values and keys that one attempt may write, in bytes: they are stored in one transaction with the end of its job.
pub const KV_WRITTEN_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Secrets that one plugin may have rights to.
pub const SECRETS_GRANTED_MAX: usize = 32;
/// Largest secret, in bytes. Sealed, it fits into a bucket.
pub const SECRET_BYTES_MAX: usize = 32 * 1024;

/// Longest signature of a component, in bytes. What minisign writes has some 300.
pub const SIGNATURE_BYTES_MAX: usize = 4 * 1024;
/// Largest bucket, in bytes. Default; an operator may move it.
pub const KV_BUCKET_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Captured log of all attempts at a job, in bytes. Default; see [`LOG_BYTES_MAX`].
pub const JOB_LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Captured log of all attempts at a job, in lines. Default; see [`LOG_BYTES_MAX`].
pub const JOB_LOG_LINES_MAX: usize = 40_000;
/// What an attempt may log however many attempts there are, so that each can say how it ended: bytes, and lines.
pub const ATTEMPT_LOG_MIN: (usize, usize) = (16 * 1024, 100);
