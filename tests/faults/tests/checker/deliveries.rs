use faults::checker::Rule;
use faults::history::{Answer, Call, Destination, Leased, Outcome, PushedJob, ReadEvent, Sent};

use crate::written::{Named, QUEUE, Written};
use crate::{Case, case};

const OUTBOX: &str = "q~outbox";
/// The queue to which a commit sends.
const MAIL: &str = "mail";

fn job(id: &str) -> PushedJob {
    PushedJob { id: id.to_owned(), request: 3, delay_ms: 0, max_attempts: 12, unique: None }
}

fn mail() -> Destination {
    Destination::Job { queue: MAIL.to_owned(), job: job("m") }
}

fn event() -> Destination {
    Destination::Event { topic: "t".to_owned(), event: "x".to_owned() }
}

/// Ends the job `a`, pushes `b`, and sends this by the entry `e`.
fn commit(to: Destination) -> Call {
    let sent = vec![Sent { outbox: OUTBOX.to_owned(), entry: job("e"), to }];
    Call::Commit { queue: QUEUE.to_owned(), job: "a".to_owned(), fence: 5, next: job("b"), sent }
}

fn claim(written: Written, start: u64, queue: &str, id: &str, fence: u64) -> Written {
    let request = format!("{start}");
    let call = Call::Claim { queue: queue.to_owned(), request, max: 1, reserve: 0, lease_ms: 1000 };
    let jobs = vec![Leased { job: id.to_owned(), fence, attempt: 1 }];
    written.ok(start, start + 1, call, Answer::Claimed { jobs, paused: false })
}

/// The delivery of the entry under this fence.
fn deliver(to: Destination, fence: u64) -> Call {
    Call::Deliver { outbox: OUTBOX.to_owned(), entry: "e".to_owned(), fence, to }
}

fn word(word: &str) -> Answer {
    Answer::Words(vec![word.to_owned()])
}

/// The job `m` runs and ends under this fence.
fn runs(written: Written, start: u64, fence: u64) -> Written {
    let ends = vec![faults::history::Settle { job: "m".to_owned(), fence, outcome: Outcome::Complete }];
    let call = Call::Settle { queue: MAIL.to_owned(), settlements: ends };
    claim(written, start, MAIL, "m", fence).ok(start + 2, start + 3, call, Answer::Each(vec![true]))
}

/// After the run: the entries that are left, and the events that are read.
fn after(mut written: Written, entries: &[&str], events: &[(u64, &str)]) -> Written {
    for state in ["ready", "scheduled", "running", "completed", "dead"] {
        let names = if state == "dead" { entries } else { &[] };
        let call = Call::List { queue: OUTBOX.to_owned(), state: state.to_owned() };
        let names = names.iter().map(ToString::to_string).collect();
        written = written.ok(100_000, 100_001, call, Answer::Names(names));
    }
    let read = |group: &str| Call::ReadTopic {
        topic: "t".to_owned(),
        partition: 0,
        group: group.to_owned(),
        consumer: "run".to_owned(),
    };
    let event = |(number, event): &(u64, &str)| ReadEvent { number: *number, event: (*event).to_owned() };
    let found = |events| Answer::Events { fence: 1, lasts_ms: 1000, truncated: 0, events };
    let found = [found(events.iter().map(event).collect()), found(Vec::new())];
    let [all, none] = found;
    written.ok(100_002, 100_003, read("audit"), all).ok(100_004, 100_005, read("audit"), none).listed(&[], &["b"])
}

pub(crate) fn cases() -> Vec<Case> {
    let began = |written: Written| written.created(800, 801, "a").claimed(810, 811, "a", 5);
    let done = || Answer::One(true);
    let sent = |written: Written, to| began(written).ok(900, 901, commit(to), done());
    let delivered = |written: Written, to: fn() -> Destination| {
        claim(sent(written, to()), 910, OUTBOX, "e", 6).ok(920, 921, deliver(to(), 6), word("done"))
    };
    let plain = |to| delivered(Written::new(), to);
    let refused = |to| {
        began(Written::new()).settled(850, 851, "a", 5, Outcome::Complete, true).ok(
            900,
            901,
            commit(to),
            Answer::One(false),
        )
    };
    let copied = |written: Written| {
        let ended = began(written).settled(850, 851, "a", 5, Outcome::Complete, true).created(860, 861, "b");
        ended.ok(900, 5000, commit(mail()), Answer::One(false)).fault(920, 4000, "kill-primary state")
    };
    let unknown = |to| began(Written::new()).unknown(900, 901, commit(to));
    let failed = |is_replicated, to| {
        delivered(Written::with_failovers(is_replicated), to).fault(1000, 4000, "kill-primary state")
    };
    let lost =
        |written: Written, op, name, job| written.lost_write_of(3000, 921, &Named { job, ..Named::new(op, name) });
    // the removal of the entry is undone, and it is delivered again when the destination has forgotten it
    let again = |written: Written, to: fn() -> Destination| {
        claim(written, 40_000, OUTBOX, "e", 9).ok(40_010, 40_011, deliver(to(), 9), word("done"))
    };
    let settled = |written| lost(written, "queue.settle", OUTBOX, Some("e"));
    let twice = |written| after(runs(again(runs(written, 930, 7), mail), 40_020, 12), &[], &[]);
    let both = [(10, "x"), (11, "x")];
    let taken = || claim(claim(sent(Written::new(), mail()), 910, OUTBOX, "e", 6), 2000, OUTBOX, "e", 7);
    let removed = |at, how| taken().ok(at, at + 1, deliver(mail(), 7), word(how));
    vec![
        // what an acknowledged commit sends is there, or was there
        case(Rule::JobLost, after(plain(mail), &[], &[]), after(runs(plain(mail), 930, 7), &[], &[])),
        case(Rule::TopicEventLost, after(plain(event), &[], &[]), after(plain(event), &[], &[(10, "x")])),
        // an entry is not removed without a delivery
        case(
            Rule::JobLost,
            after(runs(sent(Written::new(), mail()), 930, 7), &[], &[]),
            after(runs(sent(Written::new(), mail()).unknown(920, 921, deliver(mail(), 6)), 930, 7), &[], &[]),
        ),
        // it arrives once
        case(
            Rule::JobRevived,
            after(runs(runs(plain(mail), 930, 7), 40_000, 8), &[], &[]),
            after(runs(claim(plain(mail), 930, MAIL, "m", 7), 40_000, 8), &[], &[]),
        ),
        case(Rule::TopicEventRepeated, after(plain(event), &[], &both), after(plain(event), &[], &both[..1])),
        // nothing that a refused commit sends arrives
        case(
            Rule::JobUnknown,
            runs(refused(mail()), 930, 7).listed(&[], &[]),
            after(
                runs(
                    claim(unknown(mail()), 910, OUTBOX, "e", 6).ok(920, 921, deliver(mail(), 6), word("done")),
                    930,
                    7,
                ),
                &[],
                &[],
            ),
        ),
        case(
            Rule::TopicEventUnknown,
            after(refused(event()).created(860, 861, "b"), &[], &[(10, "x")]),
            after(refused(event()).created(860, 861, "b"), &[], &[]),
        ),
        // a primary that was replaced may have done an earlier copy of it
        case(
            Rule::JobUnknown,
            after(runs(copied(Written::new()), 930, 7), &[], &[]),
            after(runs(copied(Written::with_failovers(true)), 930, 7), &[], &[]),
        ),
        // nothing stays in an outbox
        case(
            Rule::NotDrained,
            after(sent(Written::new(), mail()).ok(920, 921, deliver(mail(), 6), word("refused")), &["e"], &[]),
            after(runs(plain(mail), 930, 7), &[], &[]),
        ),
        case(
            Rule::NotDrained,
            runs(plain(mail), 930, 7).listed(&[], &["b"]),
            after(runs(plain(mail), 930, 7), &[], &[]),
        ),
        // a deliverer that was suspended removes nothing
        case(
            Rule::StaleSettlement,
            after(runs(taken().ok(2100, 2101, deliver(mail(), 6), word("done")), 2200, 7), &[], &[]),
            after(
                runs(
                    taken().ok(2100, 2101, deliver(mail(), 7), word("done")).ok(
                        2110,
                        2111,
                        deliver(mail(), 6),
                        word("lost"),
                    ),
                    2200,
                    7,
                ),
                &[],
                &[],
            ),
        ),
        // unless it ends when another one has removed the entry
        case(
            Rule::JobRevived,
            after(runs(removed(1900, "lost").ok(920, 1900, deliver(mail(), 6), word("done")), 2200, 7), &[], &[]),
            after(runs(removed(2100, "done").ok(920, 2200, deliver(mail(), 6), word("done")), 2200, 7), &[], &[]),
        ),
        // a removal that every replica has confirmed is not undone, and one that is undone is named
        case(Rule::JobRevived, twice(settled(failed(true, mail))), twice(settled(failed(false, mail)))),
        case(Rule::LossUnnamed, twice(failed(false, mail)), twice(settled(failed(false, mail)))),
        case(
            Rule::TopicEventRepeated,
            after(settled(failed(false, event)), &[], &both),
            after(again(settled(failed(false, event)), event), &[], &both),
        ),
        // what was delivered and is lost is named
        case(
            Rule::JobLost,
            after(lost(failed(true, mail), "queue.push", MAIL, Some("m")), &[], &[]),
            after(lost(failed(false, mail), "queue.push", MAIL, Some("m")), &[], &[]),
        ),
        case(
            Rule::LossUnnamed,
            after(lost(failed(false, mail), "queue.push", MAIL, Some("other")), &[], &[]),
            after(lost(failed(false, mail), "queue.push", MAIL, Some("m")), &[], &[]),
        ),
        case(
            Rule::TopicEventLost,
            after(lost(failed(true, event), "topic.append", "t", None), &[], &[]),
            after(lost(failed(false, event), "topic.append", "t", None), &[], &[]),
        ),
        case(
            Rule::LossUnnamed,
            after(failed(false, event), &[], &[]),
            after(lost(failed(false, event), "topic.append", "t", None), &[], &[]),
        ),
    ]
}
