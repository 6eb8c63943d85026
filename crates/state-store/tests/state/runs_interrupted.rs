//! Scripts on runs that are interrupted after each write.

use std::time::Duration;

use store_core::{NewRun, PageRequest, Result, RunEvent, RunFilter, RunState, RunWrite, Runs};
use testkit::Interruption;

use crate::interrupting::Interrupting;
use crate::runs::{MINUTE, create, created, id, new, note, write};

/// The state of a run before a call.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    Begun,
    Full,
    Expired,
}

/// Each call that writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    Create,
    Change,
    Append,
    Delete,
    Clear,
    Sweep,
}

/// The requests of one run, whose repetitions are the same requests.
struct Requests {
    new: NewRun,
    change: RunWrite,
    append: RunWrite,
}

impl Interrupting {
    async fn run(&self, name: &str, before: Before) -> Requests {
        let mut version = 0;
        let filled = if matches!(before, Before::Full) { 99 } else { 1 };
        if !matches!(before, Before::Nothing) {
            let run = new(name).with_max_events(100);
            version = create(&self.store, &run).await.unwrap().done().unwrap().version;
            for _ in 0..filled {
                assert!(write(&self.store, &note(name)).await.unwrap().done().is_some());
            }
        }
        if matches!(before, Before::Expired) {
            self.clock.advance(MINUTE + Duration::from_secs(11));
        }
        let change = RunWrite::new(id(name)).to(RunState::InProgress, version).with_output("so far");
        let change = change.with_event(RunEvent::new("one", "")).with_event(RunEvent::new("two", ""));
        Requests { new: new(name), change, append: note(name).at_sequence(1 + filled) }
    }

    async fn call_on_run(&self, call: Call, requests: &Requests) -> Result<String> {
        let word = |outcome: store_core::RunOutcome| outcome.done().map_or("refused", |_| "done").to_owned();
        Ok(match call {
            Call::Create => word(create(&self.store, &requests.new).await?),
            Call::Change => word(write(&self.store, &requests.change).await?),
            Call::Append => word(write(&self.store, &requests.append).await?),
            Call::Delete => self.store.delete(&requests.new.run).await?.to_string(),
            Call::Clear => {
                Runs::clear(&self.store, "", None).await?;
                "cleared".to_owned()
            }
            Call::Sweep => {
                Runs::sweep(&self.store).await?;
                "swept".to_owned()
            }
        })
    }

    /// All that a reader sees of the run, without times.
    async fn run_shown(&self, requests: &Requests) -> Vec<String> {
        let run = &requests.new.run;
        let mut shown = Vec::new();
        if let Some(found) = self.store.get(run).await.unwrap() {
            shown.push(format!("{} {:?} {} {}", found.state, found.output, found.first_event, found.next_event));
            let events = self.store.events(run, 0, 1000).await.unwrap().unwrap();
            shown.extend(events.events.iter().map(|event| format!("{} {}", event.sequence, event.kind)));
        }
        shown
    }

    /// How many runs the listings show, and how many entries they have.
    async fn runs_listed(&self, name: &str) -> (usize, u64) {
        let all = Runs::list(&self.store, &RunFilter::default(), PageRequest::first(1000)).await.unwrap();
        (all.items.iter().filter(|run| run.run == id(name)).count(), all.total)
    }

    /// Removes everything that is stored.
    async fn clean(&self) {
        for key in self.keys("test:*{*").await {
            self.server.command(&["DEL", &key]).await.unwrap();
        }
    }
}

/// A repetition leads where the script would have led. Without one, the run is as before the call or as after it, every run is listed,
/// and a sweep removes what names no run.
#[tokio::test]
async fn a_script_that_is_interrupted_after_any_write_can_be_repeated() {
    let fixture = Interrupting::start().await;
    created(&fixture.store, "warm").await; // loads the scripts
    write(&fixture.store, &note("warm")).await.unwrap().done().unwrap();
    fixture.store.delete(&id("warm")).await.unwrap();
    let calls = [
        ("run/index", Call::Create, Before::Nothing),
        ("run/create", Call::Create, Before::Nothing),
        ("run/create", Call::Create, Before::Expired),
        ("run/write", Call::Change, Before::Begun),
        ("run/write", Call::Change, Before::Full),
        ("run/write", Call::Append, Before::Full),
        ("run/delete", Call::Delete, Before::Begun),
        ("run/tidy", Call::Delete, Before::Begun),
        ("run/collect", Call::Delete, Before::Expired),
        ("run/delete", Call::Clear, Before::Begun),
        ("run/tidy", Call::Clear, Before::Begun),
        ("run/collect", Call::Clear, Before::Expired),
        ("run/collect", Call::Sweep, Before::Expired),
        ("run/tidy", Call::Sweep, Before::Expired),
    ];
    for (script, call, before) in calls {
        // What happens if nothing is interrupted.
        fixture.clean().await;
        let requests = fixture.run("7", before).await;
        let start = fixture.run_shown(&requests).await;
        let answer = fixture.call_on_run(call, &requests).await.unwrap();
        let end = fixture.run_shown(&requests).await;
        let listed = fixture.runs_listed("7").await;
        let round = async |interruption: &mut Interruption<'_>| {
            fixture.clean().await;
            let requests = fixture.run("7", before).await;
            let outcome = interruption.during(fixture.call_on_run(call, &requests)).await;
            if outcome.is_err() {
                let shown = fixture.run_shown(&requests).await;
                assert!(shown == start || shown == end || shown.is_empty(), "{shown:?}");
                assert_eq!(fixture.runs_listed("7").await.0, usize::from(!shown.is_empty()), "every run is listed");
            }
            // The caller repeats it. A run that is gone cannot be deleted again; a sweep removes its entries.
            let again = fixture.call_on_run(call, &requests).await.unwrap();
            assert!(again == answer || (call == Call::Delete && again == "false"), "{again}");
            assert!(outcome.as_ref().is_ok_and(|got| *got == answer) || outcome.is_err());
            assert_eq!(fixture.run_shown(&requests).await, end);
            assert_eq!(fixture.runs_listed("7").await.0, listed.0);
            fixture.clock.advance(2 * MINUTE);
            fixture.store.sweep().await.unwrap();
            assert_eq!(fixture.runs_listed("7").await, (0, 0));
            assert_eq!(fixture.lasting_keys("test:*{*").await, [""; 0], "something is left");
        };
        let writes = fixture.proxy.at_each_write(script, format!("{call:?} {before:?}"), round).await;
        assert!(writes > 0, "{script} writes");
    }
}

/// The first deletion or sweep after the end of a run removes what an interrupted creation has left, perhaps without a TTL.
#[tokio::test]
async fn a_creation_that_is_interrupted_and_not_repeated_leaves_nothing() {
    let fixture = Interrupting::start().await;
    created(&fixture.store, "warm").await; // loads the scripts
    fixture.store.delete(&id("warm")).await.unwrap();
    for (before, is_deleted) in [(Before::Nothing, false), (Before::Nothing, true), (Before::Expired, false)] {
        let round = async |interruption: &mut Interruption<'_>| {
            fixture.clean().await;
            let requests = fixture.run("7", before).await;
            let _ = interruption.during(fixture.call_on_run(Call::Create, &requests)).await;
            fixture.clock.advance(2 * MINUTE);
            if is_deleted {
                assert!(!fixture.store.delete(&id("7")).await.unwrap());
                assert_eq!(fixture.lasting_keys("test:{r*").await, [""; 0]);
            }
            Runs::sweep(&fixture.store).await.unwrap();
            assert_eq!(fixture.lasting_keys("test:*{*").await, [""; 0]);
        };
        assert!(fixture.proxy.at_each_write("run/create", format!("{before:?}"), round).await > 1);
    }
}
