//! SIGTERM and SIGINT.

use std::io;

use crate::worker::WorkerHandle;

/// Starts to listen: the first signal begins the shutdown, the second ends it immediately.
///
/// # Errors
/// If the system refuses.
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

/// Starts to listen: the first Ctrl-C begins the shutdown, the second ends it immediately.
///
/// # Errors
/// Never on this system. If the system refuses, signals keep their effect.
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
