//! Futures that come to their end even when their caller has gone.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Wraps a future that must not be left half-way: once polled and then dropped, it goes on as a task of its own.
///
/// The library marks a command as timed out only in the future that waits for it. A dropped one would leave a command
/// behind that is still sent when the connection is back, however much later.
pub(super) fn finishing<F>(future: F) -> Finishing<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Finishing { future: Some(Box::pin(future)), started: false }
}

pub(super) struct Finishing<T: Send + 'static> {
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    started: bool,
}

impl<T: Send + 'static> Future for Finishing<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.started = true;
        let Some(future) = self.future.as_mut() else { return Poll::Pending };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finishing<T> {
    fn drop(&mut self) {
        if let (true, Some(future), Ok(runtime)) =
            (self.started, self.future.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move { drop(future.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::finishing;

    #[tokio::test]
    async fn a_future_that_was_begun_comes_to_its_end() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let mut begun = finishing(async move {
            gone.await.unwrap();
            done.send(()).unwrap();
        });
        assert!(is_pending_when_polled(&mut begun).await);
        drop(begun);
        go.send(()).unwrap();
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn a_future_that_was_not_begun_does_not_start() {
        let (done, ended) = oneshot::channel();
        drop(finishing(async move { done.send(()).unwrap() }));
        ended.await.unwrap_err();
    }

    /// Polls once; whether it is pending.
    async fn is_pending_when_polled<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
        })
        .await
    }
}
