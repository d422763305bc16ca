//! Guests that make the host work, keep and write for them, each run by the program with a folder that it may use.
//!
//! What each runs into stands in `host/THREATS.md`, in a table that these tests print and compare.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tests::artifacts::plugin;
use tests::cli::User;

/// How it ends for a guest.
enum Ends {
    /// As an error of this kind, with these words.
    Fails(&'static str, &'static str),
    /// Well, with no more than that many of what it wanted.
    Gets(u64),
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
    for Attack { attack, task, args, flags, access, ends, .. } in ATTACKS {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "text").expect("written");
        fs::create_dir(folder.path().join("many")).expect("made");
        (0..2_000).for_each(|file| {
            fs::write(folder.path().join(format!("many/{file:060}")), "").expect("written");
        });
        mknodat(CWD, folder.path().join("fifo"), FileType::Fifo, Mode::RWXU, 0).expect("made");
        let (args, grant) = (args().to_string(), format!("{}::/data{access}", folder.path().display()));
        let mut command = vec!["invoke", faults.to_str().expect("UTF-8"), task, "--args", &args, "--allow-dir", &grant];
        command.extend(*flags);
        let said = user.host(command);
        match ends {
            Ends::Fails(kind, words) => {
                assert_eq!(said.code, Some(7), "{attack}: {said:?}");
                assert!(said.err.contains(&format!("the job failed: {kind}: ")), "{attack}: {said:?}");
                assert!(said.err.contains(words), "{attack}: {said:?}");
            }
            Ends::Gets(most) => {
                assert_eq!(said.code, Some(0), "{attack}: {said:?}");
                let got: u64 = said.out.trim().parse().unwrap_or_else(|_| panic!("{attack}: no number: {said:?}"));
                assert!((1..=*most).contains(&got), "{attack}: it got {got} of {most}");
            }
        }
        let written: u64 = fs::read_dir(folder.path())
            .expect("there")
            .map(|entry| entry.and_then(|entry| entry.metadata()).expect("there"))
            .filter(fs::Metadata::is_file)
            .map(|file| file.len())
            .sum();
        assert!(written <= (10 << 20) + 4, "{attack}: {written} bytes were written");
    }
}

/// The table of these attacks, as it stands in `host/THREATS.md`.
fn table() -> String {
    let mut table = "| what a guest does | limit | outcome |\n|---|---|---|\n".to_owned();
    for Attack { attack, limit, ends, .. } in ATTACKS {
        let outcome = match ends {
            Ends::Fails(kind, words) => format!("`{kind}`: “… {words} …”"),
            Ends::Gets(most) => format!("it gets {most} at most"),
        };
        table.push_str(&format!("| {attack} | {limit} | {outcome} |\n"));
    }
    table
}

#[test]
fn the_table_of_what_guests_do_says_what_these_tests_show() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/THREATS.md");
    let text = fs::read_to_string(&file).expect("host/THREATS.md can be read");
    let table = table();
    assert!(text.contains(&table), "host/THREATS.md must have this table:\n\n{table}");
}
