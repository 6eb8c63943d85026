use std::sync::LazyLock;

use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

static SUBSCRIBERS: LazyLock<[Dispatch; 2]> =
    LazyLock::new(|| [Dispatch::new(NoSubscriber::new()), Dispatch::new(NoSubscriber::new())]);

/// Ensures that a subscriber of one thread gets each of its events, also if another thread reaches the call site first. Call it
/// before `set_default`.
///
/// `tracing` remembers at each call site whether a subscriber wants it. While the process has one subscriber, it asks only that
/// of the thread which reaches the call site first. If this thread runs another test, which has none, the call site stays silent
/// for the whole process. While there are two subscribers, it asks all: this function adds two that want nothing and never end.
pub fn open_call_sites() {
    LazyLock::force(&SUBSCRIBERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_site_that_a_thread_without_a_subscriber_reached_first_is_heard() {
        open_call_sites();
        let subscriber = Dispatch::new(Everything);
        let is_heard = || tracing::enabled!(tracing::Level::ERROR);
        std::thread::scope(|scope| assert!(!scope.spawn(is_heard).join().unwrap()));
        assert!(tracing::dispatcher::with_default(&subscriber, is_heard));
    }

    struct Everything;

    impl tracing::Subscriber for Everything {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {}

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }
}
