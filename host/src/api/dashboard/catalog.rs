//! Tasks, and the plugins that offer them.

use askama::Template;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;

use super::failure::Failure;
use super::jobs::ROWS_MAX;
use super::layout::{Layout, respond};
use super::payload::Shown;
use super::text::{Moment, encoded};
use super::visit::Visit;
use crate::config::units::{format_duration, format_size};
use crate::model::{Parallelism, Payload, PluginName, PluginVersion, Target, TaskDeclaration};
use crate::store::{Page, TaskRow, Unreadable};
use crate::wire::TaskWire;
use crate::words::{PURE, asks, grace_time, granted, layer_of_task, run_settings, short, shortened};

#[derive(Template)]
#[template(path = "tasks.html")]
struct TasksPage {
    layout: Layout,
    rows: Vec<TaskLine>,
    unreadable: Vec<String>,
    next: Option<String>,
}

struct TaskLine {
    id: String,
    key: String,
    running: u64,
    limit: String,
    timeout: String,
    memory: String,
    description: String,
}

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    layout: Layout,
    key: String,
    description: String,
    plugin: Option<(String, String)>,
    pairs: Vec<(&'static str, String)>,
    example: Option<Shown>,
    args_schema: Option<Shown>,
    result_schema: Option<Shown>,
}

#[derive(Template)]
#[template(path = "plugins.html")]
struct PluginsPage {
    layout: Layout,
    rows: Vec<PluginLine>,
    unreadable: Vec<String>,
    next: Option<String>,
}

struct PluginLine {
    name: String,
    key: String,
    version: String,
    registered: Moment,
    grants: usize,
    tasks: String,
}

#[derive(Template)]
#[template(path = "plugin.html")]
struct PluginPage {
    layout: Layout,
    digest: String,
    size: String,
    registered: Moment,
    is_pure: bool,
    pure: &'static str,
    tasks: Vec<(String, String, String)>,
    asks: Vec<String>,
    grants: Vec<String>,
    versions: Vec<Version>,
}

struct Version {
    digest: String,
    registered: Moment,
    size: String,
    tasks: usize,
    is_current: bool,
}

/// The rows after the one that the address names, as many as a page has, and the name where the next page begins.
fn page_of<T>(visit: &Visit, mut rows: Vec<T>, name: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
    if let Some(after) = visit.query("after") {
        rows.retain(|row| name(row) > after);
    }
    let next = (rows.len() > ROWS_MAX).then(|| encoded(name(&rows[ROWS_MAX - 1])));
    rows.truncate(ROWS_MAX);
    (rows, next)
}

fn warnings(kind: &str, unreadable: &[Unreadable]) -> Vec<String> {
    unreadable.iter().take(ROWS_MAX).map(|row| format!("{kind} `{}` is unreadable: {}", row.id, row.defect)).collect()
}

pub(super) async fn tasks(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let layout = visit.layout("tasks", "Tasks");
    let Page { rows, unreadable, .. } = visit.app().task_list().await?;
    let (rows, next) = page_of(&visit, rows, |row| row.task.id.as_str());
    let page = TasksPage {
        rows: rows.iter().map(TaskLine::new).collect(),
        unreadable: warnings("task", &unreadable),
        next: next.map(|next| format!("{}/tasks?after={next}", layout.base)),
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}

impl TaskLine {
    fn new(row: &TaskRow) -> TaskLine {
        let settings = row.task.resolved();
        TaskLine {
            id: row.task.id.to_string(),
            key: encoded(row.task.id.as_str()),
            running: row.running_jobs,
            limit: parallelism(settings.max_running_jobs),
            timeout: format_duration(settings.timeout),
            memory: format_size(settings.memory_bytes),
            description: shortened(row.task.description.lines().next().unwrap_or_default(), 100),
        }
    }
}

fn parallelism(parallelism: Parallelism) -> String {
    match parallelism {
        Parallelism::Unlimited => "any number".to_owned(),
        Parallelism::AtMost(count) => count.to_string(),
    }
}

pub(super) async fn task(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let id: String = visit.named("id")?;
    let row = visit.app().task_resolve(&id).await?;
    let layout = visit.layout("tasks", format!("Task {}", row.task.id));
    let pure = visit.app().plugins_pure().await?;
    let is_pure = row.task.target.plugin().is_some_and(|plugin| pure.contains(plugin));
    let plugin = row.task.target.plugin().map(|plugin| {
        let name = plugin.to_string();
        let href = format!("{}/plugin?name={}", layout.base, encoded(&name));
        (name, href)
    });
    let page = TaskPage {
        key: encoded(row.task.id.as_str()),
        description: row.task.description.clone(),
        plugin,
        pairs: task_pairs(&row, is_pure),
        example: row.task.example_args.clone().map(|text| Shown::json(&text)),
        args_schema: row.task.args_schema.clone().map(|text| Shown::json(&text)),
        result_schema: row.task.result_schema.clone().map(|text| Shown::json(&text)),
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}

fn task_pairs(row: &TaskRow, is_pure: bool) -> Vec<(&'static str, String)> {
    let (task, settings) = (&row.task, row.task.resolved());
    let layer = |sets| layer_of_task(task, sets);
    let runs = match &task.target {
        Target::Plugin { plugin, function } => format!("`{function}` of plugin {plugin}"),
        Target::Native { function } => format!("`{function}` of the embedding program"),
    };
    let limit = parallelism(settings.max_running_jobs) + layer(|layer| layer.max_running_jobs.is_some());
    let grace = grace_time(settings.misfire_grace_time) + layer(|layer| layer.misfire_grace_time.is_some());
    let mut pairs = vec![
        ("runs", runs),
        ("pure", if is_pure { PURE.to_owned() } else { String::new() }),
        ("running", format!("{} of at most {limit}", row.running_jobs)),
        ("misfire grace time", grace),
        ("overlap", settings.overlap.to_string() + layer(|layer| layer.overlap.is_some())),
    ];
    pairs.extend(run_settings(&TaskWire::new(row, is_pure).executor, &settings.for_job(&Payload::no_args()), layer));
    pairs.retain(|(_, value)| !value.is_empty());
    pairs
}

pub(super) async fn plugins(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let layout = visit.layout("plugins", "Plugins");
    let Page { rows, unreadable, .. } = visit.app().plugin_list().await?;
    let (rows, next) = page_of(&visit, rows, |row| row.name.as_str());
    let page = PluginsPage {
        rows: rows.iter().map(PluginLine::new).collect(),
        unreadable: warnings("plugin", &unreadable),
        next: next.map(|next| format!("{}/plugins?after={next}", layout.base)),
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}

impl PluginLine {
    fn new(plugin: &PluginVersion) -> PluginLine {
        let tasks: Vec<_> = plugin.tasks.iter().map(|task| task.name.as_str()).collect();
        PluginLine {
            name: plugin.name.to_string(),
            key: encoded(plugin.name.as_str()),
            version: short(&plugin.digest),
            registered: plugin.registered_at.into(),
            grants: plugin.grants.len(),
            tasks: shortened(&tasks.join(", "), 200),
        }
    }
}

pub(super) async fn plugin(Extension(visit): Extension<Visit>) -> Result<Response, Failure> {
    let name: PluginName = visit.named("name")?;
    let layout = visit.layout("plugins", format!("Plugin {name}"));
    let plugin = visit.app().plugin_get(&name).await?;
    let (Page { rows: versions, .. }, current) = visit.app().plugin_history(&name).await?;
    let task = |task: &TaskDeclaration| {
        let id = format!("{name}:{}", task.name);
        let href = format!("{}/task?id={}", layout.base, encoded(&id));
        (id, href, shortened(task.description.lines().next().unwrap_or_default(), 100))
    };
    let page = PluginPage {
        digest: plugin.digest.to_string(),
        size: format_size(plugin.size_bytes),
        registered: plugin.registered_at.into(),
        is_pure: plugin.is_pure(),
        pure: PURE,
        tasks: plugin.tasks.iter().take(ROWS_MAX).map(task).collect(),
        asks: asks(&plugin.imports, &plugin.grants),
        grants: plugin.grants.iter().map(granted).collect(),
        versions: versions
            .iter()
            .take(ROWS_MAX)
            .map(|version| Version {
                digest: short(&version.digest),
                registered: version.registered_at.into(),
                size: format_size(version.size_bytes),
                tasks: version.tasks.len(),
                is_current: Some(version.digest) == current,
            })
            .collect(),
        layout,
    };
    Ok(respond(StatusCode::OK, &page))
}
