//! `host schedule --from-crontab`: a whole crontab file, with an answer for each of its lines.

use std::collections::HashMap;
use std::path::Path;

use clap::Parser;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::input::read_text;
use super::output::time;
use super::when::{WhatArgs, WhenArgs, cron_fault};
use crate::app::{App, AppError, CheckedSchedule, NewSchedule, ScheduleCreated};
use crate::model::{ConflictPolicy, Schedule, ScheduleId, Timestamp};
use crate::store::ScheduleAdded;
use crate::trigger::{CrontabEntry, CrontabLine, RuleOptions, Trigger};

/// What is to be done with the lines of the file.
pub(super) struct Import {
    /// Only the time zone and what becomes of times when the clock changes.
    pub(super) when: WhenArgs,
    /// Nothing but that all of them rest: each line says the rest itself.
    pub(super) what: WhatArgs,
    pub(super) conflict: ConflictPolicy,
    /// Schedule the lines that can be, whatever the others are.
    pub(super) partial: bool,
}

/// What stands behind the time in a line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Command {
    task: String,
    #[command(flatten)]
    what: WhatArgs,
}

/// The answer for a line that says something.
#[derive(Serialize)]
struct Line {
    line: usize,
    /// `zone`, `ignored`, `refused`; `ready` where the line could be scheduled; `added`, `replaced`, `kept`.
    status: &'static str,
    /// The schedule.
    id: Option<String>,
    task_id: Option<String>,
    /// When it fires, in words.
    fires: Option<String>,
    next_fire_time: Option<String>,
    /// What is to be known of a line that is no schedule.
    reason: Option<String>,
    hint: Option<String>,
}

/// Longest crontab file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

pub(super) async fn run(context: &mut Context, file: &Path, import: Import) -> Outcomes {
    import.when.only_where("--from-crontab", &["--timezone", "--dst-gap", "--dst-fold"])?;
    import.when.dialect.only_with(None)?;
    import.what.only_in_lines()?;
    let text = read_text(file, FILE_BYTES_MAX).await?;
    let app = context.app().await?;
    let (mut lines, mut ready) = check(&app, &text, &import).await?;
    let refused = lines.iter().filter(|line| line.status == "refused").count();
    let mut added = 0;
    if refused == 0 || import.partial {
        if import.partial {
            for (at, schedule) in ready.drain(..) {
                match app.schedules_add(vec![schedule]).await {
                    Ok(created) => lines[at].created(created.first()),
                    // Somebody else has taken the ID in the meantime.
                    Err(error @ AppError::Refused { .. }) => lines[at].refuse(&error),
                    Err(error) => return Err(error.into()),
                }
            }
        } else {
            let places: Vec<usize> = ready.iter().map(|(at, _)| *at).collect();
            let created = app.schedules_add(ready.into_iter().map(|(_, schedule)| schedule).collect()).await?;
            places.into_iter().zip(&created).for_each(|(at, created)| lines[at].created(Some(created)));
        }
        added = lines.iter().filter(|line| matches!(line.status, "added" | "replaced" | "kept")).count();
    }
    print(context, &lines)?;
    let refused = lines.iter().filter(|line| line.status == "refused").count();
    if refused > 0 && !import.partial {
        let all = refused + lines.iter().filter(|line| line.status == "ready").count();
        let what = format!("{refused} of {all} lines cannot be scheduled, so none was");
        return Err(Failure::usage(what, "mend them, or schedule the others with --partial"));
    }
    if refused > 0 {
        let all = refused + added;
        context.out.note(&format!("{refused} of {all} lines cannot be scheduled; the others are"))?;
    }
    if import.when.timezone.is_none() && added > 0 && !lines.iter().any(|line| line.status == "zone") {
        context.out.note("note: no time zone is named, so the times are those of UTC; --timezone names another one")?;
    }
    Ok(())
}

/// An answer for each line, and the schedules of those that could be added, by the place of the answer.
async fn check(app: &App, text: &str, import: &Import) -> Outcomes<(Vec<Line>, Vec<(usize, CheckedSchedule)>)> {
    let now = app.now().await?;
    let mut options =
        RuleOptions { timezone: import.when.timezone.clone(), dst: import.when.dst(), ..RuleOptions::new(now) };
    let (mut lines, mut ready) = (Vec::new(), Vec::new());
    let mut owners: HashMap<ScheduleId, usize> = HashMap::new();
    for (at, text) in text.lines().enumerate() {
        let mut line = Line::new(at + 1);
        match CrontabLine::read(text) {
            Ok(CrontabLine::Nothing) => continue,
            Ok(CrontabLine::Zone(zone)) => {
                line.status = "zone";
                line.reason = Some(format!("the times below are those of {zone}"));
                options.timezone = Some(zone);
            }
            Ok(CrontabLine::Variable(name)) => {
                line.status = "ignored";
                line.reason = Some(format!("{name} is for the environment of commands, and a task has none"));
            }
            Ok(CrontabLine::Entry(entry)) => match schedule(app, &entry, &options, import).await {
                Ok(new) => match check_schedule(app, new, &mut owners, at + 1).await {
                    Ok(checked) => {
                        line.tell(checked.schedule());
                        line.status = "ready";
                        ready.push((lines.len(), checked));
                    }
                    Err(error @ (AppError::Unreachable { .. } | AppError::Unexpected { .. })) => {
                        return Err(error.into());
                    }
                    Err(error) => line.refuse(&error),
                },
                Err(failure @ Failure::App(AppError::Unreachable { .. } | AppError::Unexpected { .. })) => {
                    return Err(failure);
                }
                Err(Failure::App(error)) => line.refuse(&error),
                Err(failure) => return Err(failure),
            },
            Err(error) => {
                let hint = "write a task there, with flags of `host schedule`: `0 9 * * * greet --arg name=Ada`";
                line.refuse(&AppError::invalid(error.to_string()).with_hint(hint));
            }
        }
        lines.push(line);
    }
    Ok((lines, ready))
}

/// The schedule of an entry. Where it names no ID, it gets one that is the same whenever the file is read.
async fn schedule(app: &App, entry: &CrontabEntry, options: &RuleOptions, import: &Import) -> Outcomes<NewSchedule> {
    let words = words(&entry.command).map_err(|(what, hint)| Failure::usage(what, hint))?;
    let command = Command::try_parse_from(words).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        Failure::usage(first.trim_start_matches("error: "), "behind the time stand a task and flags of `host schedule`")
    })?;
    let id = command.what.id.clone().map_or_else(|| id_of(&command.task, entry), Ok)?;
    let options = RuleOptions { hash_key: Some(id.to_string()), ..options.clone() };
    let trigger: Trigger = entry.trigger(&options).map_err(|error| cron_fault(&entry.expression, &error))?;
    let new = command.what.pinned(app, command.what.schedule(&command.task, trigger, import.conflict)?).await?;
    Ok(NewSchedule { id: Some(id), paused: new.paused || import.what.paused, ..new })
}

fn id_of(task: &str, entry: &CrontabEntry) -> Outcomes<ScheduleId> {
    let digest = Sha256::digest(format!("{}\0{}", entry.expression, entry.command));
    let stem: String = task.chars().take(80).collect();
    let mark: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    ScheduleId::new(&format!("{stem}-{mark}"))
        .map_err(|error| Failure::usage(error.to_string(), "name the schedule with --id"))
}

/// Everything that can be known of a schedule before it is added.
async fn check_schedule(
    app: &App,
    new: NewSchedule,
    owners: &mut HashMap<ScheduleId, usize>,
    line: usize,
) -> Result<CheckedSchedule, AppError> {
    let refuses = new.conflict == ConflictPolicy::Error;
    let checked = app.schedule_check(new).await?;
    let id = &checked.schedule().id;
    if let Some(first) = owners.get(id) {
        let what = format!("it has the same schedule ID as line {first}, `{id}`");
        return Err(AppError::refused(what).with_hint("give one of the two an ID of its own with --id"));
    }
    if refuses && app.schedule_exists(id).await? {
        return Err(AppError::refused(format!("schedule `{id}` already exists"))
            .with_hint("`--conflict replace` puts the new one in its place, `--conflict skip` keeps the old one"));
    }
    owners.insert(id.clone(), line);
    Ok(checked)
}

impl Line {
    fn new(line: usize) -> Line {
        Line {
            line,
            status: "ignored",
            id: None,
            task_id: None,
            fires: None,
            next_fire_time: None,
            reason: None,
            hint: None,
        }
    }

    fn refuse(&mut self, error: &AppError) {
        let causes = match error {
            AppError::Invalid { causes, .. } if !causes.is_empty() => format!(": {}", causes.join("; ")),
            _ => String::new(),
        };
        self.status = "refused";
        self.reason = Some(format!("{error}{causes}"));
        self.hint = error.hint().map(str::to_owned);
    }

    fn tell(&mut self, schedule: &Schedule) {
        self.id = Some(schedule.id.to_string());
        self.task_id = Some(schedule.task_id.to_string());
        self.fires = Trigger::from_json(&schedule.trigger, Timestamp::EPOCH).map(|trigger| trigger.describe()).ok();
        self.next_fire_time = schedule.next_fire_time.map(|time| time.to_string());
    }

    fn created(&mut self, created: Option<&ScheduleCreated>) {
        let Some(created) = created else { return };
        self.tell(&created.schedule);
        self.status = match created.added {
            ScheduleAdded::Added => "added",
            ScheduleAdded::Replaced => "replaced",
            ScheduleAdded::Skipped => "kept",
        };
    }
}

fn print(context: &mut Context, lines: &[Line]) -> Outcomes {
    if context.out.json {
        return Ok(context.out.json(&lines)?);
    }
    for line in lines {
        let mut text = format!("line {}: {}", line.line, line.status);
        if let (Some(id), Some(fires)) = (&line.id, &line.fires) {
            let next = line
                .next_fire_time
                .as_ref()
                .and_then(|next| next.parse().ok())
                .map_or_else(|| "never".to_owned(), time);
            text.push_str(&format!(" `{id}`: {fires}; next {next}"));
        }
        for part in [&line.reason, &line.hint].into_iter().flatten() {
            text.push_str(&format!("{} {part}", if line.reason.as_ref() == Some(part) { ":" } else { ";" }));
        }
        context.out.line(&text)?;
    }
    Ok(())
}

/// The words of a command, as a shell takes them apart: blanks part them, quotes and backslashes hold them together. Nothing is expanded.
fn words(text: &str) -> Result<Vec<String>, (&'static str, &'static str)> {
    const PERCENT: (&str, &str) = (
        "`%` begins the command's standard input in a crontab, and a task has none",
        "give it arguments with --arg or --args; write `\\%` for the sign itself",
    );
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            // Crontabs know nothing of quotes where they look for this sign.
            (_, '%') => return Err(PERCENT),
            (_, '\\') if chars.as_str().starts_with('%') => word.get_or_insert_default().extend(chars.next()),
            (Some('\''), _) if c != '\'' => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == c => quote = None,
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(("a quote is not closed", "close it, or write a backslash in front of it"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_taken_apart_as_by_a_shell() {
        for (text, expected) in [
            ("greet --arg 'name=Ada Lovelace'", &["greet", "--arg", "name=Ada Lovelace"][..]),
            (r#"greet --arg "a=\"b\"" '' \ x"#, &["greet", "--arg", "a=\"b\"", "", " x"]),
            (r"greet 'a\b' c\%d 'e\%'", &["greet", r"a\b", "c%d", "e%"]),
            ("  ", &[]),
        ] {
            assert_eq!(words(text).expect(text), expected, "{text}");
        }
        assert!(words("greet 'Ada").is_err_and(|(what, _)| what.contains("not closed")));
        assert!(words("greet%hello").is_err_and(|(_, hint)| hint.contains(r"\%")));
        assert!(words("greet '50%'").is_err());
    }

    #[test]
    fn an_id_depends_on_the_line_alone() {
        let id = |line: &str| match CrontabLine::read(line) {
            Ok(CrontabLine::Entry(entry)) => match id_of("greet", &entry) {
                Ok(id) => id.to_string(),
                Err(_) => panic!("{line}"),
            },
            _ => panic!("{line}"),
        };
        assert_eq!(id("0 9 * * * greet"), id("  0  9 * * *   greet"));
        assert_ne!(id("0 9 * * * greet"), id("0 9 * * * greet --paused"));
        assert!(id("@daily greet").starts_with("greet-"));
    }
}
