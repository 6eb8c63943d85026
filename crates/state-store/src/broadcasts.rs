//! Broadcasts: each name has a channel, on which a script publishes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::keys;
use redis_link::{Channel, Event, Script, args};
use store_core::{BroadcastListener, BroadcastName, BroadcastSender, Broadcasts, Error, Op, Result, validate_message};

use crate::StateStore;
use crate::notifications::publish_command;

static PUBLISH: Script = Script::frees("broadcast/publish", &[include_str!("../lua/broadcast/publish.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 1] = [&PUBLISH];

/// How many identities a listener remembers.
const REMEMBERED: usize = 1_024;
/// The length of an identity.
const IDENTITY: usize = 16;

/// The script `broadcast/publish`; the subscriptions of the link.
#[async_trait]
impl Broadcasts for StateStore {
    async fn publish(&self, name: &BroadcastName, message: &Bytes) -> Result<u64> {
        validate_message(message)?;
        let (op, channel) = (Op::BroadcastPublish, keys::broadcast_channel(&self.namespace, name));
        let identity = format!("{:016x}", fastrand::u64(..));
        let args = args![publish_command(&self.link), identity, message.clone()];
        let mut reply = self.link.call(op, &PUBLISH, &[channel], args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"published" => reply.next_u64(),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn listen(&self, name: &BroadcastName) -> Result<BroadcastListener> {
        let channel = keys::broadcast_channel(&self.namespace, name);
        let channel = if self.link.is_cluster() { Channel::sharded(channel) } else { Channel::plain(channel) };
        let (sender, listener) = BroadcastListener::channel();
        let hearer = Hearer { sender, recent: Mutex::default() };
        let listener = listener.with(Box::new(self.link.subscribe(channel, move |event| hearer.hear(event))));
        match tokio::time::timeout(self.link.command_timeout(), listener.begun()).await {
            Ok(begun) => begun.map(|()| listener),
            Err(_) => {
                let detail = "the server did not confirm the subscription within the command time-out";
                Err(Error::unavailable(Op::BroadcastListen, detail))
            }
        }
    }
}

/// Passes the events of a channel on, each message once.
struct Hearer {
    sender: BroadcastSender,
    recent: Mutex<VecDeque<[u8; IDENTITY]>>,
}

impl Hearer {
    fn hear(&self, event: Event) {
        match event {
            Event::Subscribed => self.sender.begin(),
            Event::Message(bytes) => match parse(&bytes) {
                Some((is_repetition, identity, message)) => {
                    if self.is_new(is_repetition, identity) {
                        self.sender.send(message);
                    }
                }
                // A newer version may have published it.
                None => self.sender.miss(),
            },
            _ => self.sender.miss(),
        }
    }

    fn is_new(&self, is_repetition: bool, identity: [u8; IDENTITY]) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if is_repetition && recent.contains(&identity) {
            return false;
        }
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(identity);
        true
    }
}

/// Whether it is a repetition, its identity, and the message.
fn parse(bytes: &Bytes) -> Option<(bool, [u8; IDENTITY], Bytes)> {
    let (form, rest) = bytes.split_first()?;
    let identity = *rest.first_chunk()?;
    let is_repetition = match form {
        b'1' => false,
        b'2' => true,
        _ => return None,
    };
    Some((is_repetition, identity, bytes.slice(1 + IDENTITY..)))
}

#[cfg(test)]
mod tests {
    use store_core::BroadcastEvent;

    use super::*;

    /// Passes messages on. Returns what the listener gets.
    async fn heard(messages: impl IntoIterator<Item = Bytes>) -> Vec<Option<Bytes>> {
        let (sender, mut listener) = BroadcastListener::channel();
        let hearer = Hearer { sender, recent: Mutex::default() };
        hearer.hear(Event::Subscribed);
        messages.into_iter().for_each(|message| hearer.hear(Event::Message(message)));
        drop(hearer);
        let mut heard = Vec::new();
        while let Ok(event) = listener.next().await {
            heard.push(event.message());
        }
        heard
    }

    fn message(form: u8, identity: usize, text: &str) -> Bytes {
        format!("{form}{identity:016x}{text}").into()
    }

    #[tokio::test]
    async fn a_repetition_is_dropped_if_its_message_has_come() {
        let messages = [message(1, 7, "a"), message(2, 7, "a"), message(2, 8, "b"), message(2, 8, "b")];
        assert_eq!(heard(messages).await, [Some("a".into()), Some("b".into())]);
        // Only repetitions are compared.
        assert_eq!(heard([message(1, 7, "a"), message(1, 7, "b")]).await.len(), 2);
    }

    #[tokio::test]
    async fn the_identities_that_are_remembered_are_bounded() {
        for (others, heard_again) in [(REMEMBERED - 1, false), (REMEMBERED, true)] {
            let (sender, _listener) = BroadcastListener::channel();
            let hearer = Hearer { sender, recent: Mutex::default() };
            let first = [0; IDENTITY];
            assert!(hearer.is_new(false, first));
            for number in 0..others {
                let mut identity = [1; IDENTITY];
                identity[..8].copy_from_slice(&number.to_be_bytes());
                assert!(hearer.is_new(false, identity));
            }
            assert_eq!(hearer.is_new(true, first), heard_again, "{others} others");
        }
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_read_is_a_gap() {
        for unknown in ["", "1", "1000000000000000", "30000000000000000a", "{\"a\":1}-------------"] {
            assert_eq!(heard([Bytes::from(unknown)]).await, [None], "{unknown:?}");
        }
        assert_eq!(heard([message(1, 0, "")]).await, [Some(Bytes::new())]);
        assert_eq!(BroadcastEvent::<Bytes>::Gap.message(), None);
    }
}
