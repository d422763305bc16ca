//! `host events`.

use clap::Args;

use super::context::Context;
use super::exit::{Failure, Outcomes};
use super::output::time;
use crate::app::{AppError, EventFilter, Received};
use crate::model::{Event, EventType};
use crate::wire;

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Go on for ever; without it, the first event that fits is printed
    #[arg(short, long)]
    follow: bool,
    /// Only events of this type, such as `job_released`; may be repeated
    #[arg(long = "type", value_name = "T", value_parser = parse_type)]
    types: Vec<EventType>,
}

fn parse_type(text: &str) -> Result<EventType, String> {
    EventType::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = EventType::ALL.iter().map(|known| known.as_str()).collect();
        format!("types: {}", names.join(", "))
    })
}

pub(super) async fn run(context: &mut Context, args: EventsArgs) -> Outcomes {
    let app = context.app().await?;
    if !app.hears_other_processes().await {
        // Nothing else happens in this process, so it would listen for ever.
        let refused =
            AppError::refused("no event can be heard here: the event broker in use does not reach other processes");
        return Err(refused
            .with_hint("`host jobs` and `host jobs logs -f` look into the store instead; name a broker with --broker")
            .into());
    }
    let mut stream = app.events(EventFilter { types: args.types });
    context.out.note("listening")?;
    let mut is_warned = false;
    loop {
        match stream.next().await {
            Some(Received::Event(event)) => {
                print(context, &event)?;
                if !args.follow {
                    return Ok(());
                }
            }
            Some(Received::Hint) if is_warned => {}
            Some(Received::Hint) => {
                is_warned = true;
                context.out.note("note: something changed in another process, and this broker cannot say what")?;
            }
            Some(Received::Missed(0)) => {
                context.out.note("warning: the connection to the event broker was away; events may be lost")?;
            }
            Some(Received::Missed(count)) => {
                context.out.note(&format!("warning: at least {count} events were lost"))?;
            }
            None => {
                let what = "the event broker was closed".to_owned();
                return Err(Failure::App(AppError::Unreachable { what, hint: None, source: None }));
            }
        }
    }
}

fn print(context: &mut Context, event: &Event) -> Outcomes {
    let object = wire::event(event);
    if context.out.json {
        return Ok(context.out.json(&object)?);
    }
    let mut line = format!("{} {}", time(event.at), event.kind.event_type());
    let fields = object.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "at" | "type"));
    for (name, value) in fields.filter(|(_, value)| !value.is_null()) {
        match value.as_str() {
            Some(text) => line.push_str(&format!(" {name}={text}")),
            None => line.push_str(&format!(" {name}={value}")),
        }
    }
    Ok(context.out.line(&line)?)
}
