use std::collections::BTreeSet;

use store_core::{Claim, HolderName};
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;

const LEASE: Duration = Duration::from_secs(15);

struct Fixture {
    waking: Waking,
    waiter: Arc<Inner>,
    queue: QueueName,
    channel: Arc<str>,
    /// What the waiter receives.
    receiver: UnboundedReceiver<Result<Wakeup>>,
}

impl Fixture {
    fn new() -> Self {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let (_, unused) = tokio::sync::mpsc::unbounded_channel();
        let (waiter, queue) = (Arc::new(Inner::new(sender, unused)), QueueName::new("mails").unwrap());
        Self { waking: Waking::default(), waiter, queue, channel: "tw:wake:a".into(), receiver }
    }

    fn request(&self) -> ClaimRequest {
        ClaimRequest::new(self.queue.clone(), HolderName::new("worker").unwrap(), 8, LEASE)
    }

    /// A claim from one of two partitions that may find 4 jobs. Returns its token, its reserve, and the
    /// reserve that it names of earlier registrations.
    fn sent(&self, partition: u16, reserve: usize) -> (u64, u16, u16) {
        let place = Place { partition, count: 2, channel: &self.channel, is_subscribed: true, room: 4 };
        let (token, mut argument) = self.waking.register(&self.waiter, &self.queue, reserve, &place);
        assert_eq!(argument.get_u64(), token);
        (token, argument.get_u16(), argument.get_u16())
    }

    /// The claim found no job, or did not claim because it crossed a hand-over.
    fn answered(&self, token: u64, has_crossed: bool) {
        let claim = Claim::new(Vec::new(), None, false);
        let (now, is_registered) = (Some(Timestamp::from_millis(0)), !has_crossed);
        let answer = Ok(Some(Answered { claim, now, is_registered, has_crossed }));
        self.waking.answered(&self.request(), (token, 4), Instant::now(), &answer);
    }

    fn message(&self, token: u64, kind: u8) {
        self.waking.on_message([&token.to_be_bytes()[..], &[kind]].concat().into());
    }

    /// The wake-up that the waiter has received.
    fn received(&mut self) -> Option<Wakeup> {
        self.receiver.try_recv().ok().map(|wakeup| wakeup.expect("a message that can be read"))
    }

    fn reserved(&self) -> usize {
        self.waking.reserved(&self.waiter, &self.queue, None)
    }
}

#[test]
fn partitions_share_a_reservation_and_a_claim_replaces_that_of_its_partition() {
    let fixture = Fixture::new();
    let (first, reserve, before) = fixture.sent(0, 3);
    assert_eq!((reserve, before), (2, 0));
    fixture.answered(first, false);
    let (second, reserve, before) = fixture.sent(1, 3);
    assert_eq!((reserve, before, fixture.reserved()), (1, 0, 3));
    fixture.answered(second, false);
    let (third, reserve, before) = fixture.sent(0, 1);
    assert_eq!((reserve, before), (0, 2), "the other partition has the only one");
    fixture.answered(third, false);
    assert_eq!(fixture.reserved(), 1);
    let rests = fixture.waking.rests(&fixture.waiter, &fixture.queue, 2);
    assert!(rests.iter().all(|(rest, _)| rest.is_some()), "{rests:?}");
}

#[test]
fn a_registration_that_a_hand_over_has_used_counts_until_its_message_arrives() {
    let mut fixture = Fixture::new();
    let (first, ..) = fixture.sent(0, 1);
    fixture.answered(first, false);
    let (second, reserve, before) = fixture.sent(0, 0);
    assert_eq!((reserve, before), (0, 1));
    fixture.answered(second, true);
    assert_eq!(fixture.reserved(), 1);
    // A message of a registration that does not exist.
    fixture.message(second, b'w');
    assert!(fixture.receiver.try_recv().is_err());
    fixture.message(first, b'w');
    assert_eq!(fixture.received(), Some(Wakeup::Notified { queue: fixture.queue.clone() }));
    assert_eq!(fixture.reserved(), 0);
    let (_, reserve, before) = fixture.sent(0, 1);
    assert_eq!((reserve, before), (1, 0));
}

#[test]
fn a_message_may_arrive_before_the_answer_to_its_claim() {
    let mut fixture = Fixture::new();
    let (token, ..) = fixture.sent(0, 1);
    fixture.message(token, b'w');
    fixture.answered(token, false);
    assert_eq!(fixture.received(), Some(Wakeup::Notified { queue: fixture.queue.clone() }));
    assert_eq!(fixture.reserved(), 0);
    assert_eq!(fixture.waking.rests(&fixture.waiter, &fixture.queue, 2)[0], (None, 0));
    let notified = fixture.waking.take_all_notified(&Arc::downgrade(&fixture.waiter));
    assert_eq!(notified, [(fixture.queue.clone(), 0)]);
}

#[test]
fn what_a_claim_without_an_answer_may_have_registered_counts() {
    let fixture = Fixture::new();
    let (token, ..) = fixture.sent(0, 1);
    let lost = Err(Error::indeterminate(super::super::claim::OP, "lost"));
    fixture.waking.answered(&fixture.request(), (token, 4), Instant::now(), &lost);
    assert_eq!(fixture.reserved(), 1);
    let (token, _, before) = fixture.sent(0, 1);
    assert_eq!(before, 1);
    let refused = Err(Error::unavailable(super::super::claim::OP, "away"));
    fixture.waking.answered(&fixture.request(), (token, 4), Instant::now(), &refused);
    assert_eq!(fixture.reserved(), 1);
}

#[test]
fn leases_began_no_earlier_than_the_last_claim_if_the_server_leased_them_after_it() {
    let (sent, at) = (Instant::now(), Timestamp::from_millis);
    let state = State { executed: Some((sent, at(10_000))), ..State::default() };
    assert_eq!((state.since(at(10_000)), state.since(at(60_000))), (sent, sent));
    // Before it, and the clocks may differ by a millisecond each second.
    assert_eq!(state.since(at(7_000)), sent - Duration::from_millis(3_000 + 1 + 3));
}

/// The messages of the golden file that hand jobs over.
fn hand_overs() -> Vec<Vec<u8>> {
    let golden = include_str!("../../../tests/state/golden/message.4.redis");
    let messages = golden.lines().filter_map(|line| testkit::golden::words(line).pop());
    messages.filter(|message| matches!(message[8], STAYS | ENDS)).collect()
}

/// What the only registration of a waiter receives from a message, with its token in the place of the one in the message.
fn received_from(message: &[u8]) -> Vec<Result<Wakeup>> {
    let mut fixture = Fixture::new();
    let (token, ..) = fixture.sent(0, 8);
    fixture.waking.on_message([&token.to_be_bytes()[..], &message[8..]].concat().into());
    std::iter::from_fn(|| fixture.receiver.try_recv().ok()).collect()
}

#[test]
fn a_message_that_is_cut_off_anywhere_is_an_error() {
    let mut forms = BTreeSet::new();
    for message in hand_overs() {
        let whole = received_from(&message);
        let [Ok(Wakeup::Claimed { claim, .. })] = &whole[..] else { panic!("{whole:?}") };
        assert!(!claim.jobs.is_empty());
        // Behind the token, the kind, two times, the fence, two numbers and a length.
        forms.insert(message[45]);
        for length in 9..message.len() {
            let cut = received_from(&message[..length]);
            assert!(matches!(&cut[..], [Err(Error::Corrupt { .. })]), "{length} bytes: {cut:?}");
        }
        let longer = received_from(&[&message[..], b"x"].concat());
        assert!(matches!(&longer[..], [Err(Error::Corrupt { .. })]), "{longer:?}");
    }
    assert!([1, 2, 3].iter().all(|form| forms.contains(form)), "an assigned id, a whole batch, a part: {forms:?}");
}

/// The waiter hears of every damaged message: of the jobs that can be read, or an error. All other leases end.
#[test]
fn a_damaged_message_is_an_error_or_hands_over_what_can_be_read() {
    let mut random = fastrand::Rng::with_seed(4);
    let (mut read, mut errors) = (0, 0);
    for message in hand_overs() {
        for _ in 0..3000 {
            let mut damaged = message.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(9..damaged.len());
                match random.u8(..4) {
                    0 => drop(damaged.remove(at)),
                    1 => damaged.insert(at, random.u8(..)),
                    2 => damaged[at] ^= 1 << random.u8(..8),
                    _ => damaged[at] = random.u8(..),
                }
            }
            match &received_from(&damaged)[..] {
                [Ok(Wakeup::Claimed { claim, .. })] if !claim.jobs.is_empty() => read += 1,
                [Err(Error::Corrupt { .. })] => errors += 1,
                other => panic!("{damaged:?}: {other:?}"),
            }
        }
    }
    assert!(read > 100 && errors > 100, "{read} were read, {errors} were errors");
}
