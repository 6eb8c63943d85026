//! The span in which a handler runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use store_core::{HolderName, TraceContext};
use tracing::Span;
use tracing::field::Empty;

use crate::job::Job;
use crate::stats::Ending;

/// The target of all spans and events of workers.
pub(crate) const TARGET: &str = "twinstore::worker";

/// What a user's code does with each span before its handler starts.
pub(crate) type SpanHook = Arc<dyn Fn(&Job, &Span) + Send + Sync>;

/// The span of one delivery. It has no parent among the process's spans: its trace is the one of the push.
///
/// The names are those of OpenTelemetry's semantic conventions for messaging spans (operation `process`). The fields that
/// begin with `otel.` are read by the crate `tracing-opentelemetry`.
pub(crate) fn of(job: &Job, worker: &HolderName, hook: Option<&SpanHook>) -> Span {
    let trace = job.trace();
    let span = tracing::info_span!(
        target: TARGET,
        parent: None,
        "job",
        otel.name = format!("process {}", job.queue()),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = "twinstore",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = %job.queue(),
        messaging.message.id = %job.id(),
        messaging.client.id = %worker,
        twinstore.job.attempt = job.attempt(),
        twinstore.job.max_attempts = job.claimed().retry.max_attempts,
        error.type = Empty,
        trace_id = trace.map(TraceContext::trace_id),
        parent_span_id = trace.map(TraceContext::parent_id),
        traceparent = trace.map(TraceContext::traceparent),
        tracestate = trace.and_then(TraceContext::tracestate),
    );
    if let Some(hook) = hook
        && catch_unwind(AssertUnwindSafe(|| hook(job, &span))).is_err()
    {
        tracing::error!(target: TARGET, queue = %job.queue(), id = %job.id(), "the span hook panicked");
    }
    span
}

/// Records that the delivery failed.
pub(crate) fn fail(span: &Span, ending: Ending) {
    span.record("error.type", ending.name());
    span.record("otel.status_code", "ERROR");
}
