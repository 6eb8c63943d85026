//! Metrics through the `metrics` facade, whose recorder the application chooses. All labels are static.

use std::time::Instant;

use store_core::{Op, Result};

/// Counts one finished call and its duration, over all its attempts.
pub(crate) fn finished<T>(op: Op, started: Instant, result: &Result<T>) {
    let outcome = match result {
        Ok(_) => "ok",
        Err(error) => error.kind().name(),
    };
    metrics::counter!("twinstore_commands_total", "op" => op.name(), "outcome" => outcome).increment(1);
    metrics::histogram!("twinstore_command_seconds", "op" => op.name()).record(started.elapsed());
}

/// Counts one repetition.
pub(crate) fn retried(op: Op) {
    metrics::counter!("twinstore_retries_total", "op" => op.name()).increment(1);
}

/// Counts one reopened connection.
pub(crate) fn reconnected() {
    metrics::counter!("twinstore_reconnects_total").increment(1);
}

/// Counts one opening of a breaker.
pub(crate) fn breaker_opened() {
    metrics::counter!("twinstore_breaker_opened_total").increment(1);
}
