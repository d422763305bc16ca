//! Whether a store shows everything that was acknowledged, and nothing by halves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use host::model::{Job, JobId, JobState, Payload, Schedule, ScheduleId};
use host::store::{JobFilter, ReadLogs, Recover, ScheduleFilter, Store};
use tests::drain::every_job_ends;
use tests::factory::{recover, t};

use crate::connect;
use crate::workload::{holder, in_a_word, plugin_name, plugin_task};

/// Everything in the store.
struct Content {
    jobs: HashMap<JobId, Job>,
    schedules: HashMap<ScheduleId, Schedule>,
}

/// Everything that was told is there, nothing is torn, and every job can still come to its end.
pub(crate) async fn check(url: &str, told: &[String]) -> Result<()> {
    let store = connect(url).await?;
    let content = read(&store).await?;
    for at in 0..told.len() {
        let line = &told[at];
        shows(&store, &content, told, at).await.with_context(|| format!("acknowledged: {line}"))?;
    }
    content.jobs.values().try_for_each(|job| whole(&content, job))?;
    content.schedules.values().try_for_each(|schedule| fires_and_jobs_agree(&content, schedule))?;
    plugin_is_whole(&store).await?;
    all_jobs_end(&store).await?;
    store.close().await;
    Ok(())
}

async fn read(store: &Arc<dyn Store>) -> Result<Content> {
    let (mut jobs, mut filter) = (HashMap::new(), JobFilter { limit: 300, ..JobFilter::default() });
    loop {
        let page = store.job_list(filter.clone()).await?;
        ensure!(page.unreadable.is_empty(), "unreadable: {:?}", page.unreadable);
        jobs.extend(page.rows.into_iter().map(|job| (job.spec.id, job)));
        filter.after = page.next;
        if filter.after.is_none() {
            break;
        }
    }
    let (mut schedules, mut filter) = (HashMap::new(), ScheduleFilter { limit: 300, ..ScheduleFilter::default() });
    loop {
        let page = store.schedule_list(filter.clone()).await?;
        ensure!(page.unreadable.is_empty(), "unreadable: {:?}", page.unreadable);
        schedules.extend(page.rows.into_iter().map(|schedule| (schedule.id.clone(), schedule)));
        filter.after = page.next;
        if filter.after.is_none() {
            return Ok(Content { jobs, schedules });
        }
    }
}

/// The store shows what the line at `at` says, as far as the others allow.
async fn shows(store: &Arc<dyn Store>, content: &Content, told: &[String], at: usize) -> Result<()> {
    let (line, later) = (&told[at], &told[at + 1..]);
    let words: Vec<&str> = line.split(' ').collect();
    let job = |id: &str| content.jobs.get(&id.parse::<JobId>()?).context("the job is gone");
    let schedule = |id: &str| content.schedules.get(&ScheduleId::new(id)?).context("the schedule is gone");
    // Whether the job was put back into the queue, or was about to be: at any time, as the lines of several workers are in no order.
    let reopens = |id: &str| told.iter().any(|line| line.strip_prefix("reopens ") == Some(id));
    match words[..] {
        ["job", id] => job(id).map(drop),
        ["schedule", id] => schedule(id).map(drop),
        ["running", id, attempt] => {
            let (job, attempt): (_, u32) = (job(id)?, attempt.parse()?);
            ensure!(job.attempt + 1 >= attempt, "it has begun {} attempts", job.attempt);
            Ok(())
        }
        ["attempt", id, attempt] => {
            ensure!(job(id)?.attempt >= attempt.parse()?, "it has begun {} attempts", job(id)?.attempt);
            Ok(())
        }
        ["ended", id, attempt] => {
            let job = job(id)?;
            let (is_finished, attempt): (_, u32) = (job.state == JobState::Finished, attempt.parse()?);
            ensure!((is_finished || reopens(id)) && job.attempt >= attempt, "it is {}", job.state);
            Ok(())
        }
        ["asked", id] => {
            let job = job(id)?;
            let is_asked = job.state == JobState::Running && job.cancel_requested.is_some();
            ensure!(is_asked || job.state == JobState::Finished || reopens(id), "it is {}", job.state);
            Ok(())
        }
        ["extended", id, token, until] => {
            let (job, until): (_, i64) = (job(id)?, until.parse()?);
            let lease = job.lease.as_ref().filter(|lease| in_a_word(lease.token) == token);
            ensure!(lease.is_none_or(|lease| lease.expires_at.as_micros() >= until), "its lease is {lease:?}");
            Ok(())
        }
        ["logged", id, attempt, sequence] => {
            let place: (u32, u32) = (attempt.parse()?, sequence.parse()?);
            let lines = store.job_logs(ReadLogs { id: id.parse()?, after: None, limit: 10_000 }).await?.lines;
            ensure!(lines.iter().any(|line| (line.attempt, line.sequence) == place), "the line is not there");
            Ok(())
        }
        ["reopened", id, attempt] => {
            let (job, attempt): (_, u32) = (job(id)?, attempt.parse()?);
            let is_as_before = job.state == JobState::Finished && job.attempt == attempt && job.outcome.is_some();
            // Cancelled by somebody else meanwhile is finished too.
            let is_cancelled = job.outcome == Some(host::model::Outcome::Cancelled);
            ensure!(!is_as_before || is_cancelled, "it is still finished");
            Ok(())
        }
        ["fired", id, count] => {
            let made: i64 = schedule(id)?.trigger_state.parse()?;
            ensure!(made >= count.parse()?, "{made} fires were made");
            Ok(())
        }
        ["paused" | "unpaused", id] => {
            let is_later = |line: &&String| line.strip_prefix("pauses ") == Some(id);
            let is_paused = schedule(id)?.pause.is_some();
            ensure!(later.iter().any(|line| is_later(&line)) || is_paused == (words[0] == "paused"), "it is not");
            Ok(())
        }
        ["plugin", number] => {
            let current = store.plugin_get(&plugin_name()).await?.context("there is no plugin")?;
            let number: u64 = number.parse()?;
            // Several workers put versions with the same numbers, in any order.
            let history = store.plugin_history(&plugin_name()).await?.rows;
            let stored = history.iter().find(|version| version.size_bytes == number).context("no such version")?;
            let bytes = store.plugin_bytes(&stored.digest).await?.context("its bytes are gone")?;
            ensure!(bytes.len() as u64 == number && !bytes.is_empty(), "{} bytes of {number}", bytes.len());
            ensure!(current.size_bytes > 0, "the current version is empty");
            Ok(())
        }
        ["reopens" | "pauses", _] => Ok(()),
        _ => bail!("nobody says `{line}`"),
    }
}

/// A job's parts agree with each other and with what was stored together with it.
fn whole(content: &Content, job: &Job) -> Result<()> {
    let is_whole = (job.state == JobState::Running) == job.lease.is_some()
        && (job.state == JobState::Finished) == job.outcome.is_some()
        && (job.state == JobState::Finished) == job.finished_at.is_some();
    ensure!(is_whole, "torn: {job:?}");
    if let Some(names) = job.result.as_ref().map(read_json).transpose()? {
        let (effect, schedule) = (text(&names, "job")?, text(&names, "schedule")?);
        let is_there =
            content.jobs.contains_key(&effect.parse()?) && content.schedules.contains_key(&ScheduleId::new(&schedule)?);
        ensure!(is_there, "the result of {} is there, and its effects are not", job.spec.id);
    }
    result_is_there(content, &job.spec.args)
}

/// The result of the job that asked for an effect with these arguments.
fn result_is_there(content: &Content, args: &Payload) -> Result<()> {
    let Ok(parent) = text(&read_json(args)?, "parent") else { return Ok(()) };
    let parent = content.jobs.get(&parent.parse()?).context("the job behind an effect is gone")?;
    ensure!(parent.result.is_some(), "an effect is there, and the result is not: {parent:?}");
    Ok(())
}

/// A trigger's state is the number of its fires, and each has its job.
fn fires_and_jobs_agree(content: &Content, schedule: &Schedule) -> Result<()> {
    result_is_there(content, &schedule.args)?;
    let made: i64 = schedule.trigger_state.parse()?;
    let of_it = content.jobs.values().filter(|job| job.spec.schedule_id.as_ref() == Some(&schedule.id));
    let times: HashSet<_> = of_it.filter_map(|job| job.spec.scheduled_fire_time).collect();
    let expected: HashSet<_> = (0..made).map(t).collect();
    ensure!(times == expected, "schedule {}: {made} fires and {} jobs", schedule.id, times.len());
    ensure!(schedule.next_fire_time == Some(t(made)), "schedule {}: torn: {schedule:?}", schedule.id);
    Ok(())
}

/// The current version, its bytes and its task are of one registration.
async fn plugin_is_whole(store: &Arc<dyn Store>) -> Result<()> {
    let tasks = store.task_list().await?.rows;
    let tasks: Vec<_> = tasks.iter().map(|row| &row.task.id).filter(|id| id.as_str().starts_with("q:")).collect();
    let Some(current) = store.plugin_get(&plugin_name()).await? else {
        ensure!(tasks.is_empty(), "tasks without a plugin: {tasks:?}");
        return Ok(());
    };
    let number = usize::try_from(current.size_bytes)?;
    ensure!(tasks == [&plugin_task(number)], "version {number} is current, with the tasks {tasks:?}");
    let bytes = store.plugin_bytes(&current.digest).await?.context("the current version has no bytes")?;
    ensure!(bytes.len() == number, "{} bytes of {number}", bytes.len());
    Ok(())
}

async fn all_jobs_end(store: &Arc<dyn Store>) -> Result<()> {
    store.recover(Recover { holder: Some(holder()), limit: 100_000, ..recover(0) }).await?;
    every_job_ends(&**store, 10_000).await
}

fn read_json(payload: &Payload) -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(&payload.data)?)
}

fn text(object: &serde_json::Value, key: &str) -> Result<String> {
    Ok(object.get(key).and_then(serde_json::Value::as_str).with_context(|| format!("no `{key}`"))?.to_owned())
}
