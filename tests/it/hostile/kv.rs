//! What guests do with buckets, each run by the program with one that it may write and one that it may read.
//!
//! What each runs into stands in `host/THREATS.md`, in a table that these tests print and compare.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::artifacts::plugin;
use tests::cli::User;

use super::guests::Ends;

struct Attack {
    attack: &'static str,
    limit: &'static str,
    task: &'static str,
    args: fn() -> Value,
    flags: &'static [&'static str],
    ends: Ends,
}

const ATTACKS: &[Attack] = &[
    Attack {
        attack: "reading a bucket that was granted to somebody else",
        limit: "the grant",
        task: "reads_key",
        args: || json!({"bucket": "theirs", "key": "secret"}),
        flags: &[],
        ends: Ends::Fails("denied", "`--allow-kv theirs:ro` would allow it"),
    },
    Attack {
        attack: "writing to a bucket that is granted for reading",
        limit: "the grant",
        task: "writes_key",
        args: || json!({"bucket": "shared", "key": "a", "value": 1}),
        flags: &[],
        ends: Ends::Fails("denied", "`--allow-kv shared:rw` would allow it"),
    },
    Attack {
        attack: "listing a bucket that was granted to somebody else",
        limit: "the grant",
        task: "lists_keys",
        args: || json!({"bucket": "theirs", "prefix": ""}),
        flags: &[],
        ends: Ends::Fails("denied", "`--allow-kv theirs:ro` would allow it"),
    },
    Attack {
        attack: "a bucket whose name leads elsewhere, `../theirs`",
        limit: "the grant",
        task: "reads_key",
        args: || json!({"bucket": "../theirs", "key": "secret"}),
        flags: &[],
        ends: Ends::Fails("denied", "no bucket can have that name"),
    },
    Attack {
        attack: "a bucket with a name of a megabyte",
        limit: "256 bytes of a name",
        task: "reads_key",
        args: || json!({"bucket": "b".repeat(1_000_000 - 100), "key": "secret"}),
        flags: &[],
        ends: Ends::Fails("denied", "no bucket can have that name"),
    },
    Attack {
        attack: "a key with a NUL",
        limit: "keys are text without control characters",
        task: "writes_key",
        args: || json!({"bucket": "mine", "key": "a\u{0}b", "value": 1}),
        flags: &[],
        ends: Ends::Fails("guest_error", "without control characters"),
    },
    Attack {
        attack: "a key of 200 bytes",
        limit: "191 bytes a key",
        task: "writes_key",
        args: || json!({"bucket": "mine", "key": "k".repeat(200), "value": 1}),
        flags: &[],
        ends: Ends::Fails("guest_error", "use 1 to 191 bytes"),
    },
    Attack {
        attack: "a value of a megabyte",
        limit: "64 KiB a value",
        task: "writes_large_value",
        args: || json!({"bucket": "mine", "bytes": 1_000_000}),
        flags: &[],
        ends: Ends::Fails("guest_error", "larger than the 65536"),
    },
    Attack {
        attack: "a million keys",
        limit: "1,000 keys an attempt",
        task: "writes_many_keys",
        args: || json!({"bucket": "mine", "keys": 1_000_000, "bytes": 1}),
        flags: &[],
        ends: Ends::Fails("guest_error", "one attempt may write 1000 keys"),
    },
    Attack {
        attack: "a thousand values of 60 kB",
        limit: "2 MiB an attempt",
        task: "writes_many_keys",
        args: || json!({"bucket": "mine", "keys": 1_000, "bytes": 60_000}),
        flags: &[],
        ends: Ends::Fails("guest_error", "one attempt may write 2097152 bytes"),
    },
    Attack {
        attack: "a bucket that is filled",
        limit: "`kv_bucket` under `[caps]`",
        task: "writes_many_keys",
        args: || json!({"bucket": "mine", "keys": 20, "bytes": 60_000}),
        flags: &[],
        ends: Ends::Fails("guest_error", "bucket `mine` would have more than the 1048576 bytes"),
    },
    Attack {
        attack: "what is written, kept out of its memory",
        limit: "what is written is the attempt's memory",
        task: "writes_many_keys",
        args: || json!({"bucket": "mine", "keys": 30, "bytes": 60_000}),
        flags: &["--memory", "1MiB"],
        ends: Ends::Fails("guest_error", "counts as the task's memory"),
    },
    Attack {
        attack: "reading without end",
        limit: "reads cost fuel",
        task: "reads_key_forever",
        args: || json!({"bucket": "mine"}),
        flags: &["--fuel", "100_000_000"],
        ends: Ends::Fails("out_of_fuel", "used up its fuel"),
    },
    Attack {
        attack: "a retry after a failure, to find what the failure has written",
        limit: "writes come with success",
        task: "counts_and_fails",
        args: || json!({"bucket": "mine", "times": 5}),
        flags: &[],
        ends: Ends::Answers("1"),
    },
];

#[test]
fn guests_get_what_they_may_have_of_buckets_and_no_more() {
    let user = User::new();
    user.file("settings.toml", "[caps]\nkv_bucket = \"1MiB\"\n");
    let faults = plugin("faults");
    let faults = faults.to_str().expect("UTF-8");
    user.ok(["register", faults, "--name", "owner", "--allow-kv", "theirs:rw"]);
    user.ok(["register", faults, "--allow-kv", "mine:rw", "--allow-kv", "shared:ro"]);
    user.ok(["kv", "set", "theirs", "secret", "42"]);
    let escaped: Vec<String> = ATTACKS.iter().filter_map(|attack| attack.run(&user).err()).collect();
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
    assert_eq!(user.ok(["kv", "get", "theirs", "secret"]), "42");
    let keys = user.json(&["kv", "list", "mine"]);
    assert_eq!(keys.as_array().map(Vec::len), Some(1), "only the last attack succeeds: {keys}");
}

impl Attack {
    /// Lets the program run it.
    ///
    /// # Errors
    /// It ended in another way.
    fn run(&self, user: &User) -> Result<(), String> {
        let Attack { attack, task, args, flags, ends, .. } = self;
        // By a file: an argument of a program has an end.
        let args = user.file("args.json", args().to_string());
        let (args, task) = (format!("@{}", args.display()), format!("faults:{task}"));
        let mut command = vec!["--config", "settings.toml", "run", &task, "--args", &args];
        command.extend(*flags);
        let said = user.host(command);
        if ends.are(&said) { Ok(()) } else { Err(format!("{attack}: {said:?}")) }
    }
}

#[test]
fn the_table_of_what_is_done_with_buckets_says_what_these_tests_show() {
    let mut table = "| what a guest does with buckets | limit | outcome |\n|---|---|---|\n".to_owned();
    for Attack { attack, limit, ends, .. } in ATTACKS {
        table.push_str(&format!("| {attack} | {limit} | {} |\n", ends.told()));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/THREATS.md");
    let text = fs::read_to_string(&file).expect("host/THREATS.md can be read");
    assert!(text.contains(&table), "host/THREATS.md must have this table:\n\n{table}");
}
