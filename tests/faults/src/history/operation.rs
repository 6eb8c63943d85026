//! Reading a history: operations as intervals.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Answer, Call, Event, Loss, Micros, MovedSlot, Reply, RunInfo};

/// A whole history, in the order of invocations.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The run.
    pub run: Option<RunInfo>,
    /// Its operations.
    pub operations: Vec<Operation>,
    /// Its faults: name, begin, and end.
    pub faults: Vec<(String, Micros, Micros)>,
    /// The loss reports.
    pub losses: Vec<Loss>,
    /// The successes of an independent client by queue: when, and how many replicas confirmed the write.
    pub probes: BTreeMap<String, Vec<(Micros, u32)>>,
    /// The slots that have moved.
    pub slots: Vec<MovedSlot>,
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its number.
    pub id: u64,
    /// The actor.
    pub actor: String,
    /// The request.
    pub call: Call,
    /// Before it was sent.
    pub start: Micros,
    /// After its reply was received, or [`Micros::MAX`].
    pub end: Micros,
    /// The reply.
    pub reply: Option<Reply>,
    /// Until when it may be executed; `None` if the reply states that it was not.
    pub effect: Effect,
}

/// When an operation can have been executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Never.
    None,
    /// Not before its start and not after this.
    Until(Micros),
}

impl Operation {
    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.reply {
            Some(Reply::Ok(answer)) => Some(answer),
            _ => None,
        }
    }

    /// Whether the answer is missing and it may have been executed.
    pub fn is_unknown(&self) -> bool {
        self.answer().is_none() && self.effect != Effect::None
    }

    /// Until when it may be executed; 0 if it is not.
    pub fn latest(&self) -> Micros {
        match self.effect {
            Effect::None => 0,
            Effect::Until(end) => end,
        }
    }
}

/// Why a history could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no event.
    #[error("line {line} of {} is no event of a history", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

impl History {
    /// Reads the files of one run: one for each of its processes. The last line of a file may be incomplete, because
    /// its process may have been killed.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Self, HistoryError> {
        let mut events = Vec::new();
        for path in paths.iter().map(AsRef::as_ref) {
            let text =
                fs::read_to_string(path).map_err(|source| HistoryError::File { path: path.to_owned(), source })?;
            for (index, line) in text.split_inclusive('\n').enumerate() {
                match serde_json::from_str(line) {
                    Ok(event) => events.push(event),
                    Err(_) if !line.ends_with('\n') => {}
                    Err(source) => {
                        return Err(HistoryError::Line { path: path.to_owned(), line: index + 1, source });
                    }
                }
            }
        }
        Ok(Self::of(events))
    }

    /// Pairs invocations with replies and begins of faults with their ends.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut history = Self::default();
        let mut open = HashMap::new();
        let mut replies = Vec::new();
        for event in events {
            match event {
                Event::Run(run) => history.run = Some(run),
                Event::Loss(loss) => history.losses.push(loss),
                Event::Probe { at, queue, replicas } => history.probes.entry(queue).or_default().push((at, replicas)),
                Event::Slot(moved) => history.slots.push(moved),
                Event::Invoke { at, id, actor, call } => {
                    open.insert(id, history.operations.len());
                    let effect = Effect::Until(Micros::MAX);
                    let operation = Operation { id, actor, call, start: at, end: Micros::MAX, reply: None, effect };
                    history.operations.push(operation);
                }
                Event::Reply { at, id, reply } => replies.push((at, id, reply)),
                Event::Fault { at, name, ended: false } => history.faults.push((name, at, at)),
                Event::Fault { at, name, ended: true } => {
                    if let Some(fault) = history.faults.iter_mut().rev().find(|fault| fault.0 == name) {
                        fault.2 = at;
                    }
                }
            }
        }
        let late = history.run.as_ref().and_then(|run| run.late_ms).map(|late| late * 1000);
        for (at, id, reply) in replies {
            let Some(operation) = open.get(&id).map(|index| &mut history.operations[*index]) else { continue };
            operation.end = at;
            operation.effect = match &reply {
                Reply::Ok(_) => Effect::Until(at),
                Reply::NotExecuted(_) => Effect::None,
                Reply::Unknown(_) => Effect::Until(late.map_or(Micros::MAX, |late| at + late)),
            };
            operation.reply = Some(reply);
        }
        history.join_repeated_claims();
        history.begin_hand_overs_after_pushes();
        history.operations.sort_by_key(|operation| operation.start);
        history
    }

    /// A repeated claim returns what its first copy has leased, also if that was long ago: all of its copies begin with the first.
    fn join_repeated_claims(&mut self) {
        let mut firsts = HashMap::new();
        for operation in &mut self.operations {
            if let Call::Claim { request, .. } = &operation.call {
                operation.start = *firsts.entry(request.clone()).or_insert(operation.start);
            }
        }
    }

    /// The recorded begin of a hand-over may be as early as the registration. No job is handed over before it was pushed.
    fn begin_hand_overs_after_pushes(&mut self) {
        let mut pushes: HashMap<(String, String), Micros> = HashMap::new();
        for operation in &self.operations {
            let (Call::Push { queue, jobs } | Call::Advance { queue, jobs, .. }) = &operation.call else { continue };
            for job in jobs {
                let first = pushes.entry((queue.clone(), job.id.clone())).or_insert(operation.start);
                *first = operation.start.min(*first);
            }
        }
        for operation in &mut self.operations {
            let (Call::HandOver { queue, .. }, Some(Reply::Ok(Answer::Claimed { jobs, .. }))) =
                (&operation.call, &operation.reply)
            else {
                continue;
            };
            let pushed = jobs.iter().filter_map(|job| pushes.get(&(queue.clone(), job.job.clone())));
            operation.start = pushed.copied().fold(operation.start, Micros::max).min(operation.end);
        }
    }
}
