//! Guests that make the host work, keep and write for them, each run by the program with a folder that it may use.
//!
//! What each runs into stands in `host/THREATS.md`, in a table that these tests print and compare.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tests::artifacts::plugin;
use tests::cli::{Said, User};

/// How it ends for a guest.
pub(super) enum Ends {
    /// As an error of this kind, with these words.
    Fails(&'static str, &'static str),
    /// Well, with no more than that many of what it wanted.
    Gets(u64),
    /// Well, with this answer.
    Answers(&'static str),
}

impl Ends {
    /// Whether the program said that it ended so.
    pub(super) fn are(&self, said: &Said) -> bool {
        match self {
            Ends::Fails(kind, words) => {
                said.code == Some(7)
                    && said.err.contains(&format!("the job failed: {kind}: "))
                    && said.err.contains(words)
            }
            Ends::Gets(most) => {
                said.code == Some(0) && said.out.trim().parse().is_ok_and(|got: u64| (1..=*most).contains(&got))
            }
            Ends::Answers(answer) => said.code == Some(0) && said.out.trim() == *answer,
        }
    }

    /// As it stands in the table.
    pub(super) fn told(&self) -> String {
        match self {
            Ends::Fails(kind, words) => format!("`{kind}`: “… {words} …”"),
            Ends::Gets(most) => format!("it gets {most} at most"),
            Ends::Answers(answer) => format!("it gets `{answer}`"),
        }
    }
}

struct Attack {
    attack: &'static str,
    limit: &'static str,
    task: &'static str,
    args: fn() -> Value,
    /// Flags beside the folder.
    flags: &'static [&'static str],
    /// What follows the folder's name in the grant.
    access: &'static str,
    ends: Ends,
}

const ATTACKS: &[Attack] = &[
    Attack {
        attack: "100 million ends of lines",
        limit: "lines cost fuel",
        task: "prints_line_ends",
        args: || json!({"lines": 100_000_000}),
        flags: &["--fuel", "500_000_000"],
        access: ":ro",
        ends: Ends::Fails("out_of_fuel", "used up its fuel"),
    },
    Attack {
        attack: "900 listings of a folder of 2,000 files, all kept",
        limit: "listings are the guest's memory",
        task: "hoards_listings",
        args: || json!({"path": "/data/many", "times": 900}),
        flags: &["--memory", "8MiB"],
        access: ":ro",
        ends: Ends::Gets(48),
    },
    Attack {
        attack: "100,000 open files",
        limit: "64 open files an attempt",
        task: "opens_handles",
        args: || json!({"path": "/data/file", "times": 100_000}),
        flags: &[],
        access: ":ro",
        ends: Ends::Gets(64),
    },
    Attack {
        attack: "a disk that is filled by many files",
        limit: "new files of the grant",
        task: "writes_files",
        args: || json!({"path": "/data", "files": 1_000, "bytes": 10}),
        flags: &[],
        access: ":rw,files=100",
        ends: Ends::Fails("denied", "one attempt may not write that much into `/data`"),
    },
    Attack {
        attack: "a disk that is filled by one file",
        limit: "bytes of the grant",
        task: "fills_disk",
        args: || json!({"path": "/data/large"}),
        flags: &[],
        access: ":rw,max=10MiB",
        ends: Ends::Gets(10),
    },
    Attack {
        attack: "reading a FIFO in a granted folder",
        limit: "regular files and folders only",
        task: "reads_file",
        args: || json!({"path": "/data/fifo"}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("denied", "a granted folder hands out regular files and folders only"),
    },
    Attack {
        attack: "a sparse file of an exabyte",
        limit: "bytes of the grant",
        task: "sets_length",
        args: || json!({"path": "/data/sparse", "bytes": 1_u64 << 60}),
        flags: &[],
        access: ":rw,max=10MiB",
        ends: Ends::Fails("denied", "one attempt may not write that much into `/data`"),
    },
    Attack {
        attack: "folders in folders in folders",
        limit: "new files of the grant",
        task: "nests_folders",
        args: || json!({"path": "/data", "depth": 1_000}),
        flags: &[],
        access: ":rw,files=50",
        ends: Ends::Fails("denied", "one attempt may not write that much into `/data`"),
    },
    Attack {
        attack: "writing into a folder that is granted for reading",
        limit: "the grant",
        task: "writes_file",
        args: || json!({"path": "/data/new", "text": "x"}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("denied", "`--allow-dir HOST::/data:rw` grants writing"),
    },
    Attack {
        attack: "a path with `..`",
        limit: "the granted folder",
        task: "reads_file",
        args: || json!({"path": "/data/../../../../etc/passwd"}),
        flags: &[],
        access: ":rw",
        ends: Ends::Fails("denied", "`--allow-dir HOST::GUEST:ro` grants"),
    },
    Attack {
        attack: "a path from the root",
        limit: "the granted folder",
        task: "reads_file",
        args: || json!({"path": "/etc/passwd"}),
        flags: &[],
        access: ":rw",
        ends: Ends::Fails("denied", "is in no granted folder"),
    },
    Attack {
        attack: "`/proc/self/environ`",
        limit: "the granted folder",
        task: "reads_file",
        args: || json!({"path": "/proc/self/environ"}),
        flags: &[],
        access: ":rw",
        ends: Ends::Fails("denied", "is in no granted folder"),
    },
    Attack {
        attack: "a name in other letters, `/DATA`",
        limit: "the granted folder",
        task: "reads_file",
        args: || json!({"path": "/DATA/file"}),
        flags: &[],
        access: ":rw",
        ends: Ends::Fails("denied", "is in no granted folder"),
    },
    Attack {
        attack: "a symbolic link to a file outside",
        limit: "the granted folder",
        task: "reads_through_link",
        args: || json!({"path": "/data/link", "target": "../../../../../../etc/passwd"}),
        flags: &[],
        access: ":rw",
        ends: Ends::Fails("denied", "leads out of `/data`"),
    },
    Attack {
        attack: "a symbolic link to itself",
        limit: "the granted folder",
        task: "reads_through_link",
        args: || json!({"path": "/data/link", "target": "link"}),
        flags: &[],
        access: ":rw",
        ends: Ends::Fails("guest_error", "Symbolic link loop"),
    },
    Attack {
        attack: "a symbolic link from the root",
        limit: "the granted folder",
        task: "reads_through_link",
        args: || json!({"path": "/data/link", "target": "/etc/passwd"}),
        flags: &[],
        access: ":rw",
        ends: Ends::Fails("denied", "`/etc/passwd` leads out of `/data`"),
    },
    Attack {
        attack: "a second name for a file outside",
        limit: "the granted folder",
        task: "reads_by_second_name",
        args: || json!({"path": "/data/second", "target": "/data/../outside"}),
        flags: &[],
        access: ":rw",
        ends: Ends::Fails("denied", "outside` leads out of `/data`"),
    },
    Attack {
        attack: "a path with a NUL",
        limit: "paths are text without NUL",
        task: "reads_file",
        args: || json!({"path": "/data/file\0.txt"}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("guest_error", "NUL"),
    },
    Attack {
        attack: "a name of 5,000 bytes",
        limit: "4,096 bytes a path",
        task: "reads_file",
        args: || json!({"path": format!("/data/{}", "n".repeat(5_000))}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("guest_error", "name too long"),
    },
    Attack {
        attack: "a connection to this machine",
        limit: "no network",
        task: "connects",
        args: || json!({"address": "127.0.0.1:1"}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("denied", "making a TCP socket is denied"),
    },
    Attack {
        attack: "looking up a name of 10 kB",
        limit: "no network",
        task: "connects",
        args: || json!({"address": format!("{}.example:80", "n".repeat(10_000))}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("denied", "looking up the name"),
    },
    Attack {
        attack: "asking for a job",
        limit: "no grant for jobs",
        task: "adds_job",
        args: || json!({"task": "t".repeat(100_000)}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("denied", "`--allow-schedule TASK-GLOB`"),
    },
    Attack {
        attack: "reading the environment",
        limit: "granted variables",
        task: "reads_env",
        args: || json!({}),
        flags: &[],
        access: ":ro",
        ends: Ends::Answers("[]"),
    },
    Attack {
        attack: "reading the arguments of the process",
        limit: "there are none",
        task: "reads_process_arguments",
        args: || json!({}),
        flags: &[],
        access: ":ro",
        ends: Ends::Answers("[]"),
    },
    Attack {
        attack: "reading stdin",
        limit: "it is closed",
        task: "reads_stdin",
        args: || json!({}),
        flags: &[],
        access: ":ro",
        ends: Ends::Answers("0"),
    },
    Attack {
        attack: "a loop that asks the host for nothing",
        limit: "`--timeout`",
        task: "spin",
        args: || json!({}),
        flags: &["--timeout", "1s"],
        access: ":ro",
        ends: Ends::Fails("timed_out", "`--timeout` gives it more"),
    },
    Attack {
        attack: "a sleep of 500 million years",
        limit: "`--timeout`",
        task: "sleep",
        args: || json!({"ms": u64::MAX}),
        flags: &["--timeout", "1s"],
        access: ":ro",
        ends: Ends::Fails("timed_out", "`--timeout` gives it more"),
    },
    Attack {
        attack: "a million short sleeps",
        limit: "waiting costs fuel",
        task: "naps",
        args: || json!({"times": 1_000_000}),
        flags: &["--fuel", "2_000_000"],
        access: ":ro",
        ends: Ends::Fails("out_of_fuel", "used up its fuel"),
    },
    Attack {
        attack: "a million looks at a file",
        limit: "calls of files cost fuel",
        task: "looks_at",
        args: || json!({"path": "/data/file", "times": 1_000_000}),
        flags: &["--fuel", "200_000_000"],
        access: ":ro",
        ends: Ends::Fails("out_of_fuel", "used up its fuel"),
    },
    Attack {
        attack: "100 million notes of progress",
        limit: "progress costs fuel",
        task: "reports_progress",
        args: || json!({"times": 100_000_000}),
        flags: &["--fuel", "200_000_000"],
        access: ":ro",
        ends: Ends::Fails("out_of_fuel", "used up its fuel"),
    },
    Attack {
        attack: "8 MiB of log",
        limit: "1 MiB and 10,000 lines of log",
        task: "logs",
        args: || json!({"bytes": 8 << 20}),
        flags: &[],
        access: ":ro",
        ends: Ends::Answers("null"),
    },
    Attack {
        attack: "a log that is full before a panic",
        limit: "the panic is kept apart",
        task: "panics_after_logging",
        args: || json!({}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("panic", "after 2 MiB of log"),
    },
    Attack {
        attack: "a panic with a megabyte of words",
        limit: "16 KiB of words",
        task: "panics",
        args: || json!({"message": "no luck ".repeat(10_000)}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("panic", "no luck"),
    },
    Attack {
        attack: "an abort",
        limit: "the instance",
        task: "aborts",
        args: || json!({}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("trap", "it aborted"),
    },
    Attack {
        attack: "an exit",
        limit: "the instance",
        task: "exits",
        args: || json!({"code": 3}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("exited", "exit code"),
    },
    Attack {
        attack: "a result of 20 MiB",
        limit: "1 MiB of result",
        task: "returns",
        args: || json!({"bytes": 20 << 20}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("result_too_large", "1 MiB"),
    },
    Attack {
        attack: "a result that has no form in JSON",
        limit: "results are read before they are kept",
        task: "returns_nonsense",
        args: || json!({}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("guest_error", "key"),
    },
    Attack {
        attack: "an error with a hundred causes of 200 kB each",
        limit: "32 causes of 16 KiB",
        task: "fails_at_length",
        args: || json!({"bytes": 200_000}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("guest_error", "xxx"),
    },
    Attack {
        attack: "a task that says it was cancelled",
        limit: "only who asked knows",
        task: "claims_cancelled",
        args: || json!({}),
        flags: &[],
        access: ":ro",
        ends: Ends::Fails("guest_error", "nobody had asked for that"),
    },
    Attack {
        attack: "all memory that there is",
        limit: "`--memory`, and `--max-memory` for all jobs together",
        task: "allocates",
        args: || json!({}),
        flags: &["--memory", "32MiB"],
        access: ":ro",
        ends: Ends::Fails("out_of_memory", "`--memory` gives it more"),
    },
];

#[test]
fn guests_get_what_they_may_have_of_the_host_and_no_more() {
    let user = User::new();
    let faults = plugin("faults");
    let escaped: Vec<String> = ATTACKS.iter().filter_map(|attack| attack.run(&user, &faults).err()).collect();
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
}

impl Attack {
    /// Lets the program run it.
    ///
    /// # Errors
    /// It ended in another way.
    fn run(&self, user: &User, faults: &Path) -> Result<(), String> {
        let Attack { attack, task, args, flags, access, ends, .. } = self;
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("many")).expect("made");
        fs::write(folder.path().join("outside"), "secret").expect("written");
        fs::write(data.join("file"), "text").expect("written");
        (0..2_000).for_each(|file| {
            fs::write(data.join(format!("many/{file:060}")), "").expect("written");
        });
        mknodat(CWD, data.join("fifo"), FileType::Fifo, Mode::RWXU, 0).expect("made");
        let (args, grant) = (args().to_string(), format!("{}::/data{access}", data.display()));
        let mut command = vec!["invoke", faults.to_str().expect("UTF-8"), task, "--args", &args, "--allow-dir", &grant];
        command.extend(*flags);
        let said = user.host(command);
        if !ends.are(&said) {
            return Err(format!("{attack}: {said:?}"));
        }
        let written: u64 = fs::read_dir(&data)
            .expect("there")
            .map(|entry| entry.and_then(|entry| entry.metadata()).expect("there"))
            .filter(fs::Metadata::is_file)
            .map(|file| file.len())
            .sum();
        if written > (10 << 20) + 4 {
            return Err(format!("{attack}: {written} bytes were written"));
        }
        Ok(())
    }
}

/// The table of these attacks, as it stands in `host/THREATS.md`.
fn table() -> String {
    let mut table = "| what a guest does | limit | outcome |\n|---|---|---|\n".to_owned();
    for Attack { attack, limit, ends, .. } in ATTACKS {
        table.push_str(&format!("| {attack} | {limit} | {} |\n", ends.told()));
    }
    table
}

#[test]
fn the_table_of_what_guests_do_says_what_these_tests_show() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/THREATS.md");
    let text = fs::read_to_string(&file).expect("host/THREATS.md can be read");
    let table = table();
    assert!(text.contains(&table), "host/THREATS.md must have this table:\n\n{table}");
}
