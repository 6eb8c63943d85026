use std::time::Duration;

/// How long the kit itself waits for anything: a server's start, a line of a program, a cut. Generous on purpose; it is
/// reached only by a test that fails.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Polls `condition` until it holds, at first after 1 ms, then ever more rarely, at most 50 ms apart.
///
/// # Panics
/// When `deadline` passes first (also inside a condition that hangs); the message says `what` was waited for.
pub async fn wait_until(what: &str, deadline: Duration, condition: impl AsyncFnMut() -> bool) {
    assert!(holds_within(deadline, condition).await, "not within {deadline:?}: {what}");
}

/// Like [`wait_until`], with the outcome as a value: `false` when the deadline passed.
pub(crate) async fn holds_within(deadline: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let poll = async {
        let mut pause = Duration::from_millis(1);
        while !condition().await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    };
    tokio::time::timeout(deadline, poll).await.is_ok()
}
