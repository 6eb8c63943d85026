//! `broadcast.publish`

use bytes::Bytes;
use store_core::{BroadcastEvent, Error, Op};

use super::{listen, message, name, publish, texts};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::BroadcastPublish;
    a_message_reaches_all_who_listen,
    a_message_is_sent_to_no_process_if_nobody_listens,
    messages_of_one_publisher_arrive_in_order,
    a_message_reaches_the_listeners_of_its_name_alone,
    a_message_reaches_other_services_of_the_namespace_and_no_other_namespace,
    a_message_may_be_any_bytes_up_to_the_limit,
}

async fn a_message_reaches_all_who_listen(fixture: Fixture) -> Verdict {
    let mut listeners = [listen(&fixture, "control").await?, listen(&fixture, "control").await?];
    let processes = publish(&fixture, "control", "reload").await?;
    check!(processes >= 1, "it was sent to {processes} processes");
    for listener in &mut listeners {
        check_eq!(listener.next().await?, message("reload"));
    }
    Ok(())
}

async fn a_message_is_sent_to_no_process_if_nobody_listens(fixture: Fixture) -> Verdict {
    check_eq!(publish(&fixture, "control", "reload").await?, 0);
    Ok(())
}

async fn messages_of_one_publisher_arrive_in_order(fixture: Fixture) -> Verdict {
    let mut listener = listen(&fixture, "control").await?;
    let sent: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    for text in &sent {
        publish(&fixture, "control", text).await?;
    }
    check_eq!(texts(&mut listener, sent.len()).await?, sent);
    Ok(())
}

async fn a_message_reaches_the_listeners_of_its_name_alone(fixture: Fixture) -> Verdict {
    let mut listeners = [listen(&fixture, "control").await?, listen(&fixture, "control-2").await?];
    publish(&fixture, "control", "one").await?;
    publish(&fixture, "control-2", "two").await?;
    for (listener, text) in listeners.iter_mut().zip(["one", "two"]) {
        check_eq!(listener.next().await?, message(text));
    }
    Ok(())
}

async fn a_message_reaches_other_services_of_the_namespace_and_no_other_namespace(fixture: Fixture) -> Verdict {
    let name = name(&fixture, "control");
    let mut listener = fixture.other_state.broadcasts().listen(&name).await?;
    let elsewhere = fixture.share().in_own_namespace().await?;
    let mut stranger = elsewhere.state.broadcasts().listen(&name).await?;
    for (fixture, text) in [(&fixture, "here"), (&elsewhere, "there")] {
        fixture.state.broadcasts().publish(&name, &Bytes::copy_from_slice(text.as_bytes())).await?;
    }
    check_eq!(listener.next().await?, message("here"));
    check_eq!(stranger.next().await?, message("there"));
    Ok(())
}

async fn a_message_may_be_any_bytes_up_to_the_limit(fixture: Fixture) -> Verdict {
    let (broadcasts, name) = (fixture.state.broadcasts(), name(&fixture, "control"));
    let mut listener = broadcasts.listen(&name).await?;
    let longest: Vec<u8> = (0..=255).cycle().take(BroadcastEvent::MAX_BYTES).collect();
    for sent in [&b""[..], b"\0", b"\r\n", b"*3\r\n$7\r\nmessage\r\n", b"1", b"2", b"message", &longest] {
        let sent = Bytes::copy_from_slice(sent);
        broadcasts.publish(&name, &sent).await?;
        check_eq!(listener.next().await?, BroadcastEvent::Message(sent));
    }
    let too_long = Bytes::from([longest, vec![0]].concat());
    check_matches!(broadcasts.publish(&name, &too_long).await, Err(Error::InvalidArgument { detail, .. }) if detail.contains("65536"));
    Ok(())
}
