//! Writing a history.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{Answer, Call, Event, Micros, Reply};

/// Appends events to a file. Clones write to the same file, under the name of their actor.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
    actor: Arc<str>,
}

struct Shared {
    file: Mutex<File>,
    next: AtomicU64,
}

impl Recorder {
    /// Creates the file. `process` distinguishes the numbers of the operations of several processes, each with its own
    /// file.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path, process: u32) -> io::Result<Self> {
        let (file, next) = (Mutex::new(File::create(path)?), AtomicU64::new(u64::from(process) << 32));
        Ok(Self { shared: Arc::new(Shared { file, next }), actor: "run".into() })
    }

    /// The same file for another actor.
    #[must_use]
    pub fn actor(&self, name: impl AsRef<str>) -> Self {
        Self { shared: self.shared.clone(), actor: name.as_ref().into() }
    }

    /// The name of this actor.
    pub fn name(&self) -> &str {
        &self.actor
    }

    /// Records that an operation begins; call it before anything is sent.
    pub fn invoke(&self, call: Call) -> Invocation {
        self.invoke_at(now(), call)
    }

    /// Records that an operation, of which nothing was known until now, began at `since` or later.
    pub fn invoke_since(&self, since: Instant, call: Call) -> Invocation {
        // not later than `since`
        self.invoke_at(micros_of(since), call)
    }

    fn invoke_at(&self, at: Micros, call: Call) -> Invocation {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.write(&Event::Invoke { at, id, actor: self.actor.to_string(), call });
        Invocation { recorder: self.clone(), id }
    }

    /// Records that a fault begins.
    pub fn fault_begins(&self, name: &str) {
        self.write(&Event::Fault { at: now(), name: name.to_owned(), ended: false });
    }

    /// Records that a fault has ended.
    pub fn fault_ended(&self, name: &str) {
        self.write(&Event::Fault { at: now(), name: name.to_owned(), ended: true });
    }

    /// Appends one event. When this returns, the operating system has the line, so it survives SIGKILL.
    ///
    /// # Panics
    /// If the file cannot be written: a run without its history proves nothing.
    pub fn write(&self, event: &Event) {
        let mut line = serde_json::to_vec(event).expect("an event is JSON");
        line.push(b'\n');
        let mut file = self.shared.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line).expect("the history can be written");
    }
}

/// An operation that has begun. If it is dropped without a reply, the history has no reply for it: it may have been executed.
#[must_use]
pub struct Invocation {
    recorder: Recorder,
    id: u64,
}

impl Invocation {
    /// Records an answer. Call it immediately after the answer is received.
    pub fn answered(self, answer: Answer) {
        self.reply(Reply::Ok(answer));
    }

    /// Records any reply.
    pub fn reply(self, reply: Reply) {
        self.recorder.write(&Event::Reply { at: now(), id: self.id, reply });
    }
}

/// A time of this process by the machine's monotonic clock, or a little earlier.
pub(crate) fn micros_of(time: Instant) -> Micros {
    let now = now();
    now.saturating_sub(u64::try_from(time.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// The machine's monotonic clock.
pub(crate) fn now() -> Micros {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or_default() * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default() / 1000
}
