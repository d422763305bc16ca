//! `host trigger`: fire times, without any store.

use std::io::{BufRead, BufWriter, Write};

use clap::{Args, Subcommand};

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::when::{DialectArgs, cron_fault, trigger_fault};
use crate::app::AppError;
use crate::model::{ScheduleId, Timestamp};
use crate::trigger::{Fire, RuleOptions, Trigger, batch};

#[derive(Debug, Args)]
pub(super) struct TriggerArgs {
    #[command(subcommand)]
    command: TriggerCommand,
}

#[derive(Debug, Subcommand)]
enum TriggerCommand {
    /// The next fire times of a trigger, one a line
    Next(NextArgs),
}

#[derive(Debug, Args)]
struct NextArgs {
    /// The trigger in its JSON form
    #[arg(value_name = "JSON", required_unless_present_any = ["cron", "batch"], conflicts_with = "cron")]
    trigger: Option<String>,
    /// The trigger as a cron expression, as for `host schedule`
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    cron: Option<String>,
    #[command(flatten)]
    dialect: DialectArgs,
    /// Time zone of --cron [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    timezone: Option<String>,
    /// The ID of the schedule, which the H of --cron takes its value from
    #[arg(long, value_name = "ID", requires = "cron")]
    id: Option<ScheduleId>,
    /// How many
    #[arg(short, long = "count", value_name = "N", default_value_t = 1)]
    n: usize,
    /// Only those after this time (RFC 3339)
    #[arg(long, value_name = "T")]
    after: Option<Timestamp>,
    /// Read JSON lines {"id","trigger","count"} from standard input, answer each with a line
    #[arg(long, conflicts_with_all = ["trigger", "cron", "n", "after"])]
    batch: bool,
}

pub(super) async fn run(context: &mut Context, args: TriggerArgs) -> Outcomes {
    let TriggerCommand::Next(args) = args.command;
    let now = context.machine.clock().now();
    if args.batch {
        // Reading blocks, and the answers are computed; neither belongs on an async thread.
        let answering = tokio::task::spawn_blocking(move || answer_all(now));
        let answered = answering.await;
        return answered.map_err(|error| Failure::App(AppError::unexpected("the batch was not answered", error)))?;
    }
    let trigger = args.trigger(now)?;
    let (fires, is_exhausted) = next(&trigger, args.n, args.after).map_err(trigger_fault)?;
    if context.out.json {
        return Ok(context.out.json(&fires.iter().map(ToString::to_string).collect::<Vec<_>>())?);
    }
    for fire in &fires {
        context.out.line(&fire.to_string())?;
    }
    if is_exhausted {
        context.out.note("there are no more fire times")?;
    }
    Ok(())
}

impl NextArgs {
    fn trigger(&self, now: Timestamp) -> Outcomes<Trigger> {
        self.dialect.only_with(self.cron.as_deref())?;
        let Some(expression) = &self.cron else {
            return Trigger::from_json(self.trigger.as_deref().unwrap_or_default(), now).map_err(trigger_fault);
        };
        let options = self.dialect.put_into(RuleOptions {
            timezone: self.timezone.clone(),
            hash_key: self.id.as_ref().map(ToString::to_string),
            ..RuleOptions::new(now)
        });
        Trigger::from_cron_expression(expression, &options).map_err(|error| cron_fault(expression, &error))
    }
}

/// The first `count` fires after `after`, and whether there are fewer.
fn next(
    trigger: &Trigger,
    count: usize,
    after: Option<Timestamp>,
) -> Result<(Vec<Fire>, bool), crate::trigger::TriggerError> {
    // Also tells a trigger that never fires from one that has no more times.
    trigger.first_fire()?;
    let mut state = trigger.initial_state();
    if let Some(after) = after {
        trigger.skip_to(&mut state, after.saturating_add(std::time::Duration::from_micros(1)))?;
    }
    let mut fires = Vec::new();
    while fires.len() < count {
        match trigger.next(&mut state)? {
            Some(fire) => fires.push(fire),
            None => return Ok((fires, true)),
        }
    }
    Ok((fires, false))
}

fn answer_all(now: Timestamp) -> Outcomes {
    let mut answers = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            writeln!(answers, "{}", batch::answer(&line, now))?;
        }
    }
    Ok(answers.flush()?)
}
