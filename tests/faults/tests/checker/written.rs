//! Histories written by hand. Times in milliseconds.

use faults::history::{
    Answer, Call, Event, History, Leased, Loss, LostWrite, Outcome, PushAnswer, PushedJob, Reply, RunInfo, Settle,
    UniqueEnd,
};

/// The queue of all of them.
pub(crate) const QUEUE: &str = "q";

/// A write that a loss report names.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) op: &'a str,
    /// The queue, the lease, the stream, the run, the pool or the key.
    pub(crate) name: &'a str,
    pub(crate) part: Option<&'a str>,
    pub(crate) job: Option<&'a str>,
    /// Whose report it is.
    pub(crate) process: &'a str,
}

impl<'a> Named<'a> {
    /// A write of the process of these histories.
    pub(crate) fn new(op: &'a str, name: &'a str) -> Self {
        Self { op, name, part: None, job: None, process: "hand" }
    }
}

/// A history under construction.
#[derive(Clone, Default)]
pub(crate) struct Written {
    events: Vec<Event>,
}

impl Written {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn history(&self) -> History {
        History::of(self.events.clone())
    }

    /// An operation that was answered.
    pub(crate) fn ok(self, start: u64, end: u64, call: Call, answer: Answer) -> Self {
        self.op(start, end, call, Some(Reply::Ok(answer)))
    }

    /// An operation whose reply was lost.
    pub(crate) fn unknown(self, start: u64, end: u64, call: Call) -> Self {
        self.op(start, end, call, Some(Reply::Unknown("indeterminate".to_owned())))
    }

    /// An operation that was not executed.
    pub(crate) fn not_executed(self, start: u64, end: u64, call: Call) -> Self {
        self.op(start, end, call, Some(Reply::NotExecuted("unavailable".to_owned())))
    }

    pub(crate) fn op(mut self, start: u64, end: u64, call: Call, reply: Option<Reply>) -> Self {
        let id = self.events.len() as u64;
        self.events.push(Event::Invoke { at: start * 1000, id, actor: "hand".to_owned(), call });
        self.events.extend(reply.map(|reply| Event::Reply { at: end * 1000, id, reply }));
        self
    }

    /// A run with failovers.
    pub(crate) fn with_failovers(is_replicated: bool) -> Self {
        Self::of(RunInfo { is_replicated, ..with_failovers() })
    }

    /// A run with failovers that pushes again what loss reports name.
    pub(crate) fn pushing_again() -> Self {
        Self::of(RunInfo { pushes_again: true, ..with_failovers() })
    }

    /// A run that keeps results for 5 s.
    pub(crate) fn keeping_briefly() -> Self {
        Self::of(RunInfo { kept_ms: Some(5000), ..with_failovers() })
    }

    /// A run in which only slots move.
    pub(crate) fn moving_slots() -> Self {
        Self::of(RunInfo { only_moves_slots: true, partitioned: vec![QUEUE.to_owned()], ..with_failovers() })
    }

    fn of(run: RunInfo) -> Self {
        Self { events: vec![Event::Run(run)] }
    }

    /// A loss report at `at` that names a push of this job, acknowledged at `acknowledged`.
    pub(crate) fn lost(self, at: u64, acknowledged: u64, id: &str) -> Self {
        self.lost_write(at, acknowledged, id, "queue.push")
    }

    /// A loss report at `at` that names a write of this job.
    pub(crate) fn lost_write(self, at: u64, acknowledged: u64, id: &str, op: &str) -> Self {
        self.lost_write_of(at, acknowledged, &Named { job: Some(id), ..Named::new(op, QUEUE) })
    }

    /// A loss report at `at` that names this write.
    pub(crate) fn lost_write_of(mut self, at: u64, acknowledged: u64, named: &Named<'_>) -> Self {
        let (op, name) = (named.op.to_owned(), named.name.to_owned());
        let (is_push, part) = (op == "queue.push", named.part.map(ToOwned::to_owned));
        let jobs = named.job.iter().map(ToString::to_string).collect();
        let write = LostWrite { at: acknowledged * 1000, is_push, op, name, part, number: None, jobs };
        let (actor, lost, unknown) = (named.process.to_owned(), vec![write], Vec::new());
        self.events.push(Event::Loss(Loss { at: at * 1000, actor, survived: 0, lost, unknown, has_older: false }));
        self
    }

    /// The job is pushed again, after the queue did not have it.
    pub(crate) fn pushed_again(self, start: u64, end: u64, id: &str) -> Self {
        let (queue, jobs) = (QUEUE.to_owned(), vec![id.to_owned()]);
        let call = Call::PushAgain { queue, absent: jobs.clone(), jobs };
        self.ok(start, end, call, Answer::Names(Vec::new()))
    }

    /// A fault.
    pub(crate) fn fault(mut self, start: u64, end: u64, name: &str) -> Self {
        for (at, ended) in [(start, false), (end, true)] {
            self.events.push(Event::Fault { at: at * 1000, name: name.to_owned(), ended });
        }
        self
    }

    /// An independent client writes to the queue every 100 ms, and one replica confirms it.
    pub(crate) fn probed(mut self, times: std::ops::Range<u64>) -> Self {
        let probe = |at| Event::Probe { at: at * 1000, queue: QUEUE.to_owned(), replicas: 1 };
        self.events.extend(times.step_by(100).map(probe));
        self
    }

    pub(crate) fn pushed(self, start: u64, end: u64, id: &str, answer: PushAnswer) -> Self {
        self.ok(start, end, push(id), Answer::Pushed(vec![answer]))
    }

    pub(crate) fn created(self, start: u64, end: u64, id: &str) -> Self {
        self.pushed(start, end, id, PushAnswer::Created)
    }

    /// A claim of one job for 1 s.
    pub(crate) fn claimed(self, start: u64, end: u64, id: &str, fence: u64) -> Self {
        self.claimed_for(1000, start, end, id, fence, 1)
    }

    pub(crate) fn claimed_for(self, lease_ms: u64, start: u64, end: u64, id: &str, fence: u64, attempt: u32) -> Self {
        let jobs = vec![Leased { job: id.to_owned(), fence, attempt }];
        let call =
            Call::Claim { queue: QUEUE.to_owned(), request: format!("{start}-{id}"), max: 1, reserve: 1, lease_ms };
        self.ok(start, end, call, Answer::Claimed { jobs, paused: false })
    }

    /// A hand-over of one job for 1 s, whose leases began at `since` or later.
    pub(crate) fn handed_over(self, since: u64, end: u64, id: &str, fence: u64) -> Self {
        let jobs = vec![Leased { job: id.to_owned(), fence, attempt: 1 }];
        let call = Call::HandOver { queue: QUEUE.to_owned(), lease_ms: 1000 };
        self.ok(since, end, call, Answer::Claimed { jobs, paused: false })
    }

    pub(crate) fn settled(self, start: u64, end: u64, id: &str, fence: u64, outcome: Outcome, counts: bool) -> Self {
        self.ok(start, end, settle(id, fence, outcome), Answer::Each(vec![counts]))
    }

    pub(crate) fn handled(self, start: u64, end: u64, id: &str, fence: u64) -> Self {
        let call = Call::Handle { queue: QUEUE.to_owned(), job: id.to_owned(), fence };
        self.ok(start, end, call, Answer::Done)
    }

    pub(crate) fn cancelled(self, start: u64, end: u64, id: &str, word: &str) -> Self {
        let call = Call::Cancel { queue: QUEUE.to_owned(), job: id.to_owned() };
        self.ok(start, end, call, Answer::Words(vec![word.to_owned()]))
    }

    /// The listings after the drain, from 100 s on: these jobs are dead, these are ready, and nothing else is there.
    pub(crate) fn listed(mut self, dead: &[&str], ready: &[&str]) -> Self {
        for state in ["ready", "scheduled", "running", "completed", "dead"] {
            let names = match state {
                "dead" => dead,
                "ready" => ready,
                _ => &[],
            };
            let names = names.iter().map(ToString::to_string).collect();
            let call = Call::List { queue: QUEUE.to_owned(), state: state.to_owned() };
            self = self.ok(100_000, 100_001, call, Answer::Names(names));
        }
        self
    }
}

fn with_failovers() -> RunInfo {
    RunInfo {
        seed: 1,
        duration_ms: 1000,
        late_ms: None,
        has_failovers: true,
        is_replicated: false,
        replicas: 0,
        pushes_again: false,
        kept_ms: None,
        only_moves_slots: false,
        partitioned: Vec::new(),
    }
}

pub(crate) fn push(id: &str) -> Call {
    push_as(id, 1, None)
}

pub(crate) fn push_as(id: &str, request: u32, unique: Option<(&str, UniqueEnd)>) -> Call {
    let unique = unique.map(|(key, end)| (key.to_owned(), end));
    let job = PushedJob { id: id.to_owned(), request, delay_ms: 0, max_attempts: 12, unique };
    Call::Push { queue: QUEUE.to_owned(), jobs: vec![job] }
}

pub(crate) fn settle(id: &str, fence: u64, outcome: Outcome) -> Call {
    Call::Settle { queue: QUEUE.to_owned(), settlements: vec![Settle { job: id.to_owned(), fence, outcome }] }
}
