//! Plugins: register by upload, look at, roll back, remove.

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::super::call::{Answered, Call, answer};
use super::super::problem::Problem;
use super::super::route::{Access, Body, Route};
use super::list::{self, Page};
use crate::app::{
    AppError, AppResult, RegisterPlugin, Review, grant_http, read_dir_grant, read_env_grant, read_kv_grant,
};
use crate::config::units::{parse_duration, parse_size};
use crate::config::words::parse_count;
use crate::model::Permission::{Plugins, Read};
use crate::model::{Digest, Grant, PluginName, Settings};
use crate::store::Put;
use crate::wire::{PluginDetails, PluginWire, RegistrationWire, ReviewWire, RolloutWire, VersionWire};

const YES: (&str, &str) = ("yes", "agree that this version may do more than the current one");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/plugins", Access::Needs(Read), "List plugins", list)
            .answers::<Page<Vec<PluginWire>>>(&[200]),
        Route::get("/api/v1/plugins/{name}", Access::Needs(Read), "One plugin: its tasks, what it may do", show)
            .answers::<PluginDetails>(&[200]),
        Route::put("/api/v1/plugins/{name}", Plugins, "Register a plugin, or a new version of one", register)
            .takes(Body::Component)
            .query(&[
                ("allow_dir", "show a folder of the server to the plugin: /HOST::GUEST[:ro|rw]; may be repeated"),
                ("allow_env", "show an environment variable: NAME[=VALUE]; may be repeated"),
                ("allow_http", "allow HTTP requests: [METHODS ]URL-PATTERN; may be repeated"),
                ("allow_kv", "let it keep values in a bucket: BUCKET[:ro|rw]; may be repeated"),
                ("timeout", "wall-clock limit of one attempt at each of its tasks"),
                ("fuel", "fuel of one attempt"),
                ("memory", "memory of one attempt"),
                ("sha256", "refuse the component unless this is its SHA-256"),
                ("signature", "the component's signature, as `minisign -Sm` writes it"),
                ("plan", "check and report, but change nothing"),
                ("inactive", "leave the current version current"),
                YES,
            ])
            .answers::<RegistrationWire>(&[200, 201]),
        Route::delete("/api/v1/plugins/{name}", "Remove a plugin with all its versions and tasks", remove)
            .query(&[("yes", "do it")])
            .answers::<PluginRemoved>(&[200]),
        Route::get("/api/v1/plugins/{name}/versions", Access::Needs(Read), "All versions of a plugin", versions)
            .answers::<Page<Vec<VersionWire>>>(&[200]),
        Route::post("/api/v1/plugins/{name}/rollback", Plugins, "Make an older version current again", rollback)
            .query(&[("to", "the beginning of the version's digest [default: the one before the current one]"), YES])
            .answers::<PluginWire>(&[200]),
    ]
}

#[derive(Serialize, JsonSchema)]
struct PluginRemoved {
    name: String,
    tasks: Vec<String>,
    /// Schedules whose task went with it.
    orphaned_schedules: Vec<String>,
}

async fn list(call: Call) -> Answered {
    let page = call.app().plugin_list().await?;
    list::page(&page.rows.iter().map(PluginWire::from).collect::<Vec<_>>(), None, &page.unreadable)
}

async fn show(call: Call) -> Answered {
    let name = call.path::<PluginName>("name")?;
    let (plugin, rollout) = (call.app().plugin_get(&name).await?, call.app().rollout_get(&name).await?);
    let rollout = rollout.as_ref().map(|rollout| RolloutWire::new(&name, rollout));
    answer(&PluginDetails { plugin: PluginWire::from(&plugin), rollout })
}

/// The rights that are asked for.
fn grants(call: &Call) -> AppResult<Vec<Grant>> {
    let dirs = call.query.all("allow_dir").map(|text| match text.starts_with('/') {
        true => read_dir_grant(text),
        false => Err(AppError::invalid(format!("the folder of `{text}` is no absolute path"))
            .with_hint("name the folder of the server from its root on: where it was started is nobody's business")),
    });
    let variables = call.query.all("allow_env").map(read_env_grant);
    let requests = call.query.all("allow_http").map(grant_http);
    let buckets = call.query.all("allow_kv").map(read_kv_grant);
    dirs.chain(variables).chain(requests).chain(buckets).collect()
}

async fn register(call: Call) -> Answered {
    let (name, query) = (call.path::<PluginName>("name")?, &call.query);
    let settings = Settings {
        timeout: query.read_with("timeout", parse_duration)?,
        fuel: query.read_with("fuel", parse_count)?,
        memory_bytes: query.read_with("memory", parse_size)?,
        ..Settings::default()
    };
    if call.body.is_empty() {
        return Err(Problem::bad_request("the body is empty").with_hint("a plugin is a WebAssembly component"));
    }
    let request = RegisterPlugin {
        grants: grants(&call)?,
        expected_digest: query.parsed::<Digest>("sha256")?,
        settings,
        signature: query.one("signature")?.map(str::to_owned),
        inactive: query.is_set("inactive")?,
        ..RegisterPlugin::new(name, call.body.to_vec())
    };
    let (is_plan, is_agreed) = (query.is_set("plan")?, query.is_set("yes")?);
    let plan = call.app().plugin_plan(request).await?;
    if is_plan {
        return answer(&RegistrationWire::from(&plan.registration));
    }
    if !is_agreed && plan.registration.review.rights_grow() {
        let problem = rights_grow(&plan.registration.version.name, &plan.registration.review);
        return Err(problem.with("registration", json!(RegistrationWire::from(&plan.registration))));
    }
    let registration = call.app().plugin_carry_out(plan).await?;
    let is_new = registration.changes.as_ref().is_some_and(|changes| changes.put != Put::Unchanged);
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(RegistrationWire::from(&registration))).into_response())
}

fn rights_grow(name: &PluginName, review: &Review) -> Problem {
    let detail = format!("this version of plugin `{name}` would have rights that the current one does not have");
    Problem::needs_yes(detail).with("review", json!(ReviewWire::from(review)))
}

async fn remove(call: Call) -> Answered {
    let name = call.path::<PluginName>("name")?;
    if !call.query.is_set("yes")? {
        let (versions, _) = call.app().plugin_history(&name).await?;
        let count = versions.rows.len() + versions.unreadable.len();
        let detail =
            format!("this removes plugin `{name}` with its tasks and all versions, of which there are {count}");
        return Err(Problem::needs_yes(detail));
    }
    let removed = call.app().plugin_remove(&name).await?;
    let tasks = removed.tasks.iter().map(ToString::to_string).collect();
    let orphaned_schedules = removed.orphans.iter().map(ToString::to_string).collect();
    answer(&PluginRemoved { name: name.to_string(), tasks, orphaned_schedules })
}

async fn versions(call: Call) -> Answered {
    let (page, current) = call.app().plugin_history(&call.path("name")?).await?;
    let versions = page
        .rows
        .iter()
        .map(|version| VersionWire { plugin: PluginWire::from(version), current: Some(version.digest) == current });
    list::page(&versions.collect::<Vec<_>>(), None, &page.unreadable)
}

async fn rollback(call: Call) -> Answered {
    let name = call.path::<PluginName>("name")?;
    let plan = call.app().plugin_version_plan(&name, call.query.one("to")?, None).await?;
    if !call.query.is_set("yes")? && plan.review.rights_grow() {
        return Err(rights_grow(&name, &plan.review));
    }
    answer(&PluginWire::from(&call.app().plugin_rollback(plan).await?))
}
