//! SIGTERM and SIGINT.

use std::io;

use crate::worker::WorkerHandle;

/// Listens from now on: the first signal begins the shutdown, the second ends it immediately.
///
/// # Errors
/// The system refused.
#[cfg(unix)]
pub(crate) fn listen(handle: WorkerHandle) -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let mut next = async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        next().await;
        handle.shutdown();
        next().await;
        handle.shutdown_now();
    })
}

/// Listens from now on: the first Ctrl-C begins the shutdown, the second ends it immediately.
///
/// # Errors
/// Never here; the system's refusal leaves signals alone.
#[cfg(not(unix))]
pub(crate) fn listen(handle: WorkerHandle) -> io::Result<impl Future<Output = ()>> {
    Ok(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown();
            if tokio::signal::ctrl_c().await.is_ok() {
                handle.shutdown_now();
            }
        }
    })
}
