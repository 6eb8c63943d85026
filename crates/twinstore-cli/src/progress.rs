//! Progress on standard error, if that is a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that disappears when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar of work on `total` items.
    pub(crate) fn of(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bar:30} {pos}/{len}  {eta}") {
            bar.set_style(style);
        }
        Self::show(bar)
    }

    /// A bar for a command that prints a listing. It is hidden if the listing goes to a terminal.
    pub(crate) fn of_listing(total: u64) -> Self {
        if std::io::stdout().is_terminal() { Self(ProgressBar::hidden()) } else { Self::of("listing", total) }
    }

    /// Work of unknown length.
    pub(crate) fn spinner(what: &'static str) -> Self {
        Self::show(ProgressBar::new_spinner().with_message(what))
    }

    fn show(bar: ProgressBar) -> Self {
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Adds this many finished items.
    pub(crate) fn add(&self, items: usize) {
        self.0.inc(items as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
