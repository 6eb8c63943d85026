//! Publishers of broadcasts, and listeners.

use std::time::Duration;

use twinstore::Bytes;
use twinstore::broadcast::{BroadcastEvent, BroadcastName};

use super::Actor;
use crate::history::{Answer, Call};
use crate::recorded::record;

const NAME: &str = "news";

fn name() -> BroadcastName {
    BroadcastName::new(NAME).expect("a valid name")
}

/// Publishes one message after the other.
pub(crate) async fn publish(mut actor: Actor) {
    let publisher = actor.client.recorder.name().to_owned();
    for number in 0_u64.. {
        if !actor.pause(Duration::from_millis(150)).await {
            return;
        }
        let message = format!("{publisher} {number}");
        let call = Call::Broadcast { name: NAME.to_owned(), message: message.clone() };
        let invocation = actor.client.recorder.invoke(call);
        let published = actor.client.broadcasts.publish(&name(), &Bytes::from(message)).await;
        drop(record(invocation, published, |count| Answer::Number(*count)));
    }
}

/// Listens, and sometimes begins again.
pub(crate) async fn listen(mut actor: Actor) {
    let (broadcasts, recorder) = (actor.client.broadcasts.clone(), actor.client.recorder.clone());
    while actor.pause(Duration::from_millis(50)).await {
        let invocation = recorder.invoke(Call::Listen { name: NAME.to_owned() });
        let listening = record(invocation, broadcasts.listen(&name()).await, |_| Answer::Done);
        let Ok(mut listener) = listening else { continue };
        let until = tokio::time::Instant::now() + actor.millis(1000..20_000);
        let mut stop = actor.stop.clone();
        loop {
            let event = tokio::select! {
                event = listener.next() => event,
                () = tokio::time::sleep_until(until) => break,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let message = match event {
                Ok(BroadcastEvent::Message(message)) => Some(String::from_utf8_lossy(&message).into_owned()),
                Ok(_) => None,
                Err(_) => break,
            };
            recorder.invoke(Call::Hear { name: NAME.to_owned(), message }).answered(Answer::Done);
        }
    }
}
