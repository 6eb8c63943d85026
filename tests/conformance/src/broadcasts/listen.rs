//! `broadcast.listen`

use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use store_core::{BroadcastEvent, BroadcastListener, Op};

use super::{listen, message, publish, texts};
use crate::case::cases;
use crate::fixture::{Fixture, look_again};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::BroadcastListen;
    a_listener_gets_what_is_published_after_the_call_and_nothing_before,
    a_dropped_listener_is_gone_and_the_others_stay,
    a_slow_listener_gets_a_gap_and_the_latest_messages,
    a_dropped_wait_loses_nothing,
    a_listener_begins_while_others_listen,
}

async fn a_listener_gets_what_is_published_after_the_call_and_nothing_before(fixture: Fixture) -> Verdict {
    publish(&fixture, "control", "before").await?;
    let mut listener = listen(&fixture, "control").await?;
    publish(&fixture, "control", "after").await?;
    check_eq!(listener.next().await?, message("after"));
    Ok(())
}

async fn a_dropped_listener_is_gone_and_the_others_stay(fixture: Fixture) -> Verdict {
    let (dropped, mut other) = (listen(&fixture, "control").await?, listen(&fixture, "control").await?);
    drop(dropped);
    publish(&fixture, "control", "reload").await?;
    check_eq!(other.next().await?, message("reload"));
    drop(other);
    // The store ends the subscription soon.
    while publish(&fixture, "control", "reload").await? > 0 {
        look_again().await;
    }
    Ok(())
}

async fn a_slow_listener_gets_a_gap_and_the_latest_messages(fixture: Fixture) -> Verdict {
    let (mut slow, mut last) = (listen(&fixture, "control").await?, listen(&fixture, "control").await?);
    let sent: Vec<_> = (0..BroadcastListener::MAX_WAITING + 20).map(|number| number.to_string()).collect();
    for text in &sent {
        publish(&fixture, "control", text).await?;
        // The other one takes each message at once.
        check_eq!(texts(&mut last, 1).await?.concat(), *text);
    }
    publish(&fixture, "control", "last").await?;
    texts(&mut last, 1).await?;
    check_eq!(slow.next().await?, BroadcastEvent::Gap);
    let kept = texts(&mut slow, BroadcastListener::MAX_WAITING).await?;
    check_eq!(kept[..kept.len() - 1], sent[21..]);
    check_eq!(kept.last().map(String::as_str), Some("last"));
    Ok(())
}

/// A waker that does nothing.
struct Asleep;

impl Wake for Asleep {
    fn wake(self: Arc<Self>) {}
}

async fn a_dropped_wait_loses_nothing(fixture: Fixture) -> Verdict {
    let mut listener = listen(&fixture, "control").await?;
    for number in 0..20 {
        let text = number.to_string();
        {
            let waker = Waker::from(Arc::new(Asleep));
            let mut next = Box::pin(listener.next());
            check!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "nothing was published");
            publish(&fixture, "control", &text).await?;
        }
        check_eq!(texts(&mut listener, 1).await?, [text]);
    }
    Ok(())
}

async fn a_listener_begins_while_others_listen(fixture: Fixture) -> Verdict {
    let mut listeners = Vec::new();
    for number in 0..10 {
        listeners.push(listen(&fixture, "control").await?);
        let text = number.to_string();
        publish(&fixture, "control", &text).await?;
        for listener in &mut listeners {
            // The others get no gap.
            check_eq!(texts(listener, 1).await?.concat(), text);
        }
    }
    Ok(())
}
