//! One place that knows whether the process was asked to stop.

use std::time::Duration;

use tokio::sync::watch;

/// Whether to stop. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Stops everything that looks here.
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it was asked to stop.
    pub(crate) async fn stopped(&self) {
        let mut asked = self.0.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// Waits for a time; whether it was asked to stop meanwhile.
    pub(crate) async fn pause(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.stopped()).await.is_ok()
    }
}
