//! What changing a schedule did.

use std::num::NonZeroU32;

use serde::Serialize;

use super::schedule::{coalesce_name, describe};
use crate::app::ScheduleChanged;
use crate::config::units::format_duration;
use crate::model::{Hook, HookSettings, Overlap, PauseAfter, Settings};
use crate::trigger::Fire;

/// What `schedules set` prints.
#[derive(Serialize)]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema), schemars(rename = "ScheduleChanged"))]
pub(crate) struct ScheduleChangedWire {
    id: String,
    /// What is different, by name.
    changed: Vec<&'static str>,
    fires_before: Vec<String>,
    fires_after: Vec<String>,
}

pub(crate) fn schedule_changed(changed: &ScheduleChanged) -> ScheduleChangedWire {
    let texts = |fires: &[Fire]| fires.iter().map(ToString::to_string).collect::<Vec<_>>();
    ScheduleChangedWire {
        id: changed.after.id.to_string(),
        changed: schedule_differences(changed).into_iter().map(|(what, _)| what).collect(),
        fires_before: texts(&changed.fires_before),
        fires_after: texts(&changed.fires_after),
    }
}

/// What is different, by name, in words.
pub(crate) fn schedule_differences(changed: &ScheduleChanged) -> Vec<(&'static str, String)> {
    let ScheduleChanged { before, after, .. } = changed;
    let mut differences = Vec::new();
    if before.trigger != after.trigger {
        differences.push(("trigger", format!("{} (it was: {})", describe(after), describe(before))));
    }
    if before.args != after.args {
        differences.push(("arguments", "others".to_owned()));
    }
    if before.coalesce != after.coalesce {
        let (new, old) = (coalesce_name(after.coalesce), coalesce_name(before.coalesce));
        differences.push(("coalesce", format!("{new} (it was: {old})")));
    }
    if before.max_jitter != after.max_jitter {
        let (new, old) = (format_duration(after.max_jitter), format_duration(before.max_jitter));
        differences.push(("max jitter", format!("{new} (it was: {old})")));
    }
    if before.settings.overlap != after.settings.overlap {
        let shown =
            |policy: Option<Overlap>| policy.map_or_else(|| "the task's".to_owned(), |policy| policy.to_string());
        let (new, old) = (shown(after.settings.overlap), shown(before.settings.overlap));
        differences.push(("overlap", format!("{new} (it was: {old})")));
    }
    let (new, old) = (&after.settings, &before.settings);
    if new.pause_after != old.pause_after {
        let shown =
            |limit: Option<PauseAfter>| limit.map_or_else(|| "as the task says".to_owned(), |limit| limit.to_string());
        differences.push(("pause after", format!("{} (it was: {})", shown(new.pause_after), shown(old.pause_after))));
    }
    if new.until_success != old.until_success {
        let shown = |until: Option<bool>| if until == Some(true) { "yes" } else { "no" };
        differences
            .push(("until success", format!("{} (it was: {})", shown(new.until_success), shown(old.until_success))));
    }
    if new.max_fires != old.max_fires {
        let shown = |max: Option<NonZeroU32>| max.map_or_else(|| "any number".to_owned(), |max| max.to_string());
        differences.push(("max fires", format!("{} (it was: {})", shown(new.max_fires), shown(old.max_fires))));
    }
    for ((name, new), (_, old)) in new.hooks.named().into_iter().zip(old.hooks.named()) {
        if new != old {
            let shown = |hook: Option<&Hook>| hook.map_or_else(|| "as the task says".to_owned(), ToString::to_string);
            let name = match name {
                "on_failure" => "on failure",
                "on_success" => "on success",
                _ => "on missed",
            };
            differences.push((name, format!("{} (it was: {})", shown(new), shown(old))));
        }
    }
    let others = |settings: &Settings| Settings {
        overlap: None,
        pause_after: None,
        until_success: None,
        max_fires: None,
        hooks: HookSettings::default(),
        ..settings.clone()
    };
    if others(new) != others(old) {
        differences.push(("settings", "others; `host schedules show` shows them".to_owned()));
    }
    differences
}
