//! What a process measures, for Prometheus: OpenMetrics at `/metrics`.
//!
//! The figures of the process (attempts, fires, leases) are counters that begin with it; add them up over all processes. Those of the store
//! (jobs by state, what is due) are the same from every process: take the greatest. The store is asked for them once in a while, however
//! often somebody looks.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::problem::Problem;
use super::route::{Access, Route};
use super::state::Shared;
use crate::app::{AppError, Figures};
use crate::model::{Permission, TaskId};
use crate::scheduler::Meter;
use crate::scheduler::metrics::{Measured, SPAN_BUCKETS, Spans, TaskMetrics};

/// The type of the answer.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The older form, which Prometheus has of its own and which every tool reads.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long figures of the store are shown before it is asked again.
const FIGURES_KEPT: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Vec<Route> {
    let about = "What this process and its store measure, for Prometheus";
    vec![Route::get("/metrics", Access::Needs(Permission::Read), about, metrics).answers_as("text/plain")]
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let figures = {
        // Whoever comes meanwhile waits for the same answer.
        let mut kept = shared.figures.lock().await;
        let now = shared.clock.monotonic();
        match &*kept {
            Some((at, figures)) if now.saturating_since(*at) < FIGURES_KEPT => figures.clone(),
            _ => {
                let figures = shared.app.figures().await;
                if let Err(error) = &figures {
                    tracing::warn!(error = %error, causes = ?error.causes(), "the data store was not measured");
                }
                kept.insert((shared.clock.monotonic(), figures.ok())).1.clone()
            }
        }
    };
    let mut registry = Registry::with_prefix("host");
    let measured = shared.meter.get().and_then(Meter::measured);
    registry.register_collector(Box::new(Scrape { measured, figures }));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) if takes_open_metrics(&headers) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Ok(()) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], as_prometheus_text(&text)).into_response(),
        Err(error) => Problem::from(AppError::unexpected("what was measured was not written", error)).into_response(),
    }
}

fn takes_open_metrics(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/openmetrics-text"))
}

/// OpenMetrics in the older form: there, what is said of a counter is said of its sample, which is called `…_total`, and no line ends the
/// text.
fn as_prometheus_text(open_metrics: &str) -> String {
    let counters: HashSet<&str> =
        open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        let about = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        match about.and_then(|about| about.split_once(' ')).filter(|(name, _)| counters.contains(name)) {
            Some((name, rest)) => {
                let kind = &line[..7];
                text.push_str(&format!("{kind}{name}_total {rest}"));
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[derive(Debug)]
struct Scrape {
    /// `None` in a process that has no scheduler.
    measured: Option<Measured>,
    figures: Option<Figures>,
}

/// A value and its labels.
type Labelled<V, const N: usize> = ([(&'static str, String); N], V);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        gauge(out, "store_up", "Whether the data store answers", u64::from(self.figures.is_some()))?;
        if let Some(figures) = &self.figures {
            encode_figures(out, figures)?;
        }
        match &self.measured {
            Some(measured) => encode_measured(out, measured),
            None => Ok(()),
        }
    }
}

fn encode_figures(out: &mut DescriptorEncoder<'_>, figures: &Figures) -> fmt::Result {
    let Figures { jobs, schedules, schedules_paused, schedulers_alive, overdue, store_clock_ahead } = figures;
    let jobs = [("queued", jobs.queued), ("running", jobs.running), ("finished", jobs.finished)];
    let jobs = jobs.map(|(state, count)| ([("state", state.to_owned())], count));
    gauges(out, "jobs", "Jobs in the data store, by state", &jobs)?;
    let resting = [("active", schedules.saturating_sub(*schedules_paused)), ("paused", *schedules_paused)];
    let resting = resting.map(|(state, count)| ([("state", state.to_owned())], count));
    gauges(out, "schedules", "Schedules in the data store", &resting)?;
    gauge(out, "schedulers_alive", "Schedulers that were seen lately", *schedulers_alive)?;
    let about = "How long the schedule that is due for longest waits for being fired";
    gauge(out, "oldest_due_seconds", about, overdue.as_secs_f64())?;
    match store_clock_ahead {
        Some(ahead) => gauge(out, "store_clock_ahead_seconds", "The store's clock less that of this host", *ahead),
        None => Ok(()),
    }
}

fn encode_measured(out: &mut DescriptorEncoder<'_>, measured: &Measured) -> fmt::Result {
    let by_task = |value: fn(&TaskMetrics) -> &Spans| -> Vec<Labelled<&Spans, 1>> {
        measured.tasks.iter().map(|(id, task)| ([("task", name_of(id.as_ref()))], value(task))).collect()
    };
    let ends = measured.tasks.iter().flat_map(|(id, task)| {
        let name = name_of(id.as_ref());
        task.ends.iter().map(move |(end, count)| ([("task", name.clone()), ("end", (*end).to_owned())], *count))
    });
    let about = "Attempts that have ended, by the outcome of the job, or retry, or requeued";
    counters(out, "attempts", about, &ends.collect::<Vec<_>>())?;
    let errors = measured.errors.iter().map(|(kind, count)| ([("kind", (*kind).to_owned())], *count));
    counters(out, "attempt_errors", "Attempts that have failed, by the kind of error", &errors.collect::<Vec<_>>())?;
    let about = "From the time at which a job is due to the beginning of its attempt";
    histograms(out, "queued_seconds", about, &by_task(|task| &task.queued))?;
    histograms(out, "run_seconds", "How long attempts run", &by_task(|task| &task.run))?;
    let fuel = measured.tasks.iter().map(|(id, task)| ([("task", name_of(id.as_ref()))], task.fuel));
    counters(out, "fuel", "Fuel that attempts have used", &fuel.collect::<Vec<_>>())?;
    let memory = measured.tasks.iter().map(|(id, task)| ([("task", name_of(id.as_ref()))], task.peak_memory_bytes));
    gauges(out, "peak_memory_bytes", "The most memory that an attempt has had", &memory.collect::<Vec<_>>())?;
    let about = "How late schedules were fired";
    histograms(out, "fire_lateness_seconds", about, &[([], &measured.lateness)])?;
    counters(out, "fired_jobs", "Jobs that schedules have made", &[([], measured.jobs_made)])?;
    let about = "Attempts whose lease was over before they had ended";
    counters(out, "leases_lost", about, &[([], measured.leases_lost)])?;
    gauge(out, "attempts_running", "Attempts that run", measured.running as u64)?;
    gauge(out, "attempts_max", "Attempts that may run", measured.slots as u64)?;
    match measured.memory {
        Some(load) => {
            gauge(out, "memory_max_bytes", "Memory that attempts may have together", load.total_bytes)?;
            gauge(out, "memory_reserved_bytes", "Memory that is reserved for those that run", load.reserved_bytes)?;
            gauge(out, "memory_waiting_attempts", "Attempts that wait for memory", load.waiting as u64)
        }
        None => Ok(()),
    }
}

/// Those that are not counted apart have a name that no task can have.
fn name_of(task: Option<&TaskId>) -> String {
    task.map_or_else(|| " other".to_owned(), ToString::to_string)
}

/// A number that goes up and down.
trait Gauge: Copy {
    fn encode(self, encoder: &mut MetricEncoder<'_>) -> fmt::Result;
}

impl Gauge for u64 {
    fn encode(self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self)
    }
}

impl Gauge for f64 {
    fn encode(self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self)
    }
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, about: &str, value: impl Gauge) -> fmt::Result {
    value.encode(&mut out.encode_descriptor(name, about, None, MetricType::Gauge)?)
}

fn gauges<const N: usize>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    values: &[Labelled<u64, N>],
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, about, None, MetricType::Gauge)?;
    values.iter().try_for_each(|(labels, value)| value.encode(&mut labelled(&mut metric, labels)?))
}

fn counters<const N: usize>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    values: &[Labelled<u64, N>],
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, about, None, MetricType::Counter)?;
    let none: Option<&Exemplar<NoLabelSet, u64>> = None;
    values.iter().try_for_each(|(labels, value)| labelled(&mut metric, labels)?.encode_counter(value, none))
}

fn histograms<const N: usize>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    values: &[Labelled<&Spans, N>],
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, about, None, MetricType::Histogram)?;
    values.iter().try_for_each(|(labels, spans)| {
        let bounds = SPAN_BUCKETS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(spans.counts).collect();
        let count = spans.counts.iter().sum();
        labelled(&mut metric, labels)?.encode_histogram::<NoLabelSet>(spans.sum.as_secs_f64(), count, &buckets, None)
    })
}

fn labelled<'a, L: EncodeLabelSet>(
    metric: &'a mut MetricEncoder<'_>,
    labels: &'a L,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    metric.encode_family(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_form_speaks_of_the_samples_of_counters() {
        let open = "# HELP a b c\n# TYPE a counter\na_total{x=\"# TYPE a counter\"} 1\n# HELP g h\n# TYPE g gauge\ng 2\n# EOF\n";
        let plain = "# HELP a_total b c\n# TYPE a_total counter\na_total{x=\"# TYPE a counter\"} 1\n# HELP g h\n# TYPE g gauge\ng 2\n";
        assert_eq!(as_prometheus_text(open), plain);
    }
}
