//! Steps: their stored form, a full server, interrupted scripts, coalesced calls.

use std::time::Duration;

use bytes::Bytes;
use store_core::{
    Durability, Error, Fence, JobId, PageRequest, QueueName, Result, StepAttempt, StepBegun, StepInfo, StepName, Steps,
    Timestamp, Ttl, WorkflowRun,
};
use testkit::{Interruption, RedisServer};

use crate::interrupting::Interrupting;
use crate::{Fixture, fixture, fixture_with};
use state_store::{StateOptions, StateStore};

const MINUTE: Duration = Duration::from_secs(60);
const KEY: &str = "test:orders:{w.n:import}:steps";

fn import() -> WorkflowRun {
    WorkflowRun::named("import").unwrap()
}

fn attempt(run: &WorkflowRun, step: &str, number: u64) -> StepAttempt {
    StepAttempt::new(run.clone(), StepName::new(step).unwrap(), Fence::new(number)).with_ttl(Ttl::from_secs(60))
}

async fn begin(store: &StateStore, attempt: &StepAttempt) -> Result<StepBegun> {
    Ok(store.begin(attempt, Durability::Accepted).await?.value)
}

async fn finish(store: &StateStore, attempt: &StepAttempt, output: &'static str) -> Result<bool> {
    Ok(store.finish(attempt, &Bytes::from_static(output.as_bytes()), Durability::Accepted).await?.value)
}

async fn fail(store: &StateStore, attempt: &StepAttempt, error: &str) -> Result<bool> {
    Ok(store.fail(attempt, error, Durability::Accepted).await?.value)
}

async fn sleep(store: &StateStore, attempt: &StepAttempt) -> Result<StepBegun> {
    Ok(store.sleep(attempt, MINUTE, Durability::Accepted).await?.value)
}

async fn ttl(server: &RedisServer) -> Duration {
    let millis = server.command(&["PTTL", KEY]).await.unwrap().as_integer().unwrap();
    Duration::from_millis(u64::try_from(millis).expect("the key has a TTL"))
}

#[tokio::test]
async fn a_run_is_one_hash_that_expires() {
    let Fixture { server, store, .. } = fixture().await;
    let (run, margin) = (import(), Duration::from_secs(3600));
    assert!(begin(&store, &attempt(&run, "read", 1)).await.unwrap().is_started());
    assert_eq!(server.command(&["TYPE", KEY]).await.unwrap().as_str(), Some("hash"));
    assert!(ttl(&server).await > margin && ttl(&server).await <= margin + MINUTE);
    sleep(&store, &attempt(&run, "wait", 1)).await.unwrap();
    assert!(ttl(&server).await > margin + MINUTE, "the run outlives its sleep");
    assert!(finish(&store, &attempt(&run, "read", 1), "12").await.unwrap());
    assert!(ttl(&server).await > margin + MINUTE, "a write does not shorten it");
    // the run, two steps and their numbers, one output
    assert_eq!(server.command(&["HLEN", KEY]).await.unwrap().as_integer(), Some(6));
    let keys = server.command(&["KEYS", "test:*{w.*"]).await.unwrap().as_strings().unwrap();
    assert_eq!(keys, [KEY]);
}

#[tokio::test]
async fn what_was_begun_can_end_on_a_full_server_and_jobs_can_begin_their_steps() {
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    let job = WorkflowRun::of_job(
        &QueueName::new("mails").unwrap(),
        &JobId::new("7").unwrap(),
        Timestamp::from_millis(1_700_000_000_000),
    );
    let temporal = WorkflowRun::temporal("default", "order-7", "run-1").unwrap();
    for step in ["read", "write"] {
        assert!(begin(&store, &attempt(&import(), step, 1)).await.unwrap().is_started());
    }
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    assert!(finish(&store, &attempt(&import(), "read", 1), "12").await.unwrap());
    assert!(fail(&store, &attempt(&import(), "write", 1), "no disk").await.unwrap());
    for run in [import(), temporal] {
        for refused in [begin(&store, &attempt(&run, "new", 2)).await, sleep(&store, &attempt(&run, "wait", 2)).await] {
            assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
        }
    }
    assert!(begin(&store, &attempt(&job, "charge", 1)).await.unwrap().is_started());
    assert!(finish(&store, &attempt(&job, "charge", 1), "paid").await.unwrap());
    assert!(matches!(sleep(&store, &attempt(&job, "wait", 1)).await, Ok(StepBegun::Sleeping { .. })));
    let shown = store.list(&job, PageRequest::default()).await.unwrap().items;
    assert_eq!(shown.len(), 2);
}

#[tokio::test]
async fn foreign_data_is_corrupt_and_not_shown() {
    let Fixture { server, store, .. } = fixture().await;
    let read = attempt(&import(), "read", 1);
    let damages: [&[&str]; 4] = [
        &["SET", KEY, "canary"],
        &["HSET", KEY, "run", "canary"],
        &["HSET", KEY, "run", "1canary"],
        &["HSET", KEY, "run", "1900000000000000000000000000000001", "sread", "1canary", "n0", "read"],
    ];
    for damage in damages {
        server.command(&["DEL", KEY]).await.unwrap();
        server.command(damage).await.unwrap();
        let refusals = [
            begin(&store, &read).await.map(drop),
            finish(&store, &read, "").await.map(drop),
            sleep(&store, &read).await.map(drop),
        ];
        for error in refusals.map(Result::unwrap_err) {
            assert!(matches!(error, Error::Corrupt { .. }), "{damage:?}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}

/// Each state of a run before a call.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    Begun,
    Expired,
}

/// Each call that writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    Begin,
    TakeOver,
    Sleep,
    Finish,
    Fail,
}

impl Interrupting {
    async fn steps(&self, run: &WorkflowRun, before: Before) {
        if matches!(before, Before::Nothing) {
            return;
        }
        for step in ["read", "other"] {
            assert!(begin(&self.store, &attempt(run, step, 1)).await.unwrap().is_started());
        }
        assert!(finish(&self.store, &attempt(run, "other", 1), "done").await.unwrap());
        if matches!(before, Before::Expired) {
            self.clock.advance(MINUTE);
        }
    }

    async fn call_on_steps(&self, run: &WorkflowRun, call: Call) -> Result<String> {
        let read = attempt(run, "read", 1);
        Ok(match call {
            Call::Begin => format!("{:?}", begin(&self.store, &read).await?),
            Call::TakeOver => format!("{:?}", begin(&self.store, &attempt(run, "read", 2)).await?),
            Call::Sleep => format!("{:?}", sleep(&self.store, &attempt(run, "wait", 2)).await?),
            Call::Finish => format!("{:?}", finish(&self.store, &read, "12").await?),
            Call::Fail => format!("{:?}", fail(&self.store, &read, "no such file").await?),
        })
    }

    /// The steps with their outputs.
    async fn steps_shown(&self, run: &WorkflowRun) -> Vec<StepInfo> {
        let mut steps = self.store.list(run, PageRequest::default()).await.unwrap().items;
        for info in &mut steps {
            *info = self.store.get(run, &info.step).await.unwrap().expect("a step in the listing exists");
        }
        steps
    }

    async fn steps_have_ttl(&self, run: &str) -> bool {
        let key = format!("test:orders:{{w.n:{run}}}:steps");
        self.server.command(&["PTTL", &key]).await.unwrap().as_integer().is_some_and(|ttl| ttl > 0)
    }
}

/// A repetition leads where the script would have led; without one, the run is as before the call or as after it.
#[tokio::test]
async fn a_script_that_is_interrupted_after_any_write_can_be_repeated() {
    let fixture = Interrupting::start().await;
    let calls = [
        ("step/begin", Call::Begin, Before::Nothing),
        ("step/begin", Call::Begin, Before::Expired),
        ("step/begin", Call::TakeOver, Before::Begun),
        ("step/sleep", Call::Sleep, Before::Begun),
        ("step/sleep", Call::Sleep, Before::Expired),
        ("step/finish", Call::Finish, Before::Begun),
        ("step/fail", Call::Fail, Before::Begun),
    ];
    let mut number = 0;
    for (script, call, before) in calls {
        // What happens if nothing is interrupted; it also loads the script.
        let whole = WorkflowRun::named("whole").unwrap();
        fixture.steps(&whole, before).await;
        let start = fixture.steps_shown(&whole).await;
        let answer = fixture.call_on_steps(&whole, call).await.unwrap();
        let end = fixture.steps_shown(&whole).await;
        fixture.server.command(&["DEL", "test:orders:{w.n:whole}:steps"]).await.unwrap();
        let context = format!("{call:?} {before:?}");
        let round = async |interruption: &mut Interruption<'_>| {
            number += 1;
            let name = format!("run-{number}");
            let run = WorkflowRun::named(&name).unwrap();
            fixture.steps(&run, before).await;
            let outcome = interruption.during(fixture.call_on_steps(&run, call)).await;
            if outcome.is_err() {
                let shown = fixture.steps_shown(&run).await;
                let is_whole = [&start, &end, &vec![]].iter().any(|whole| summary(&shown) == summary(whole));
                assert!(is_whole, "{shown:?}");
            }
            // The caller repeats it, if nobody has.
            let again = fixture.call_on_steps(&run, call).await.unwrap();
            assert_eq!(answer_of(&again), answer_of(&answer));
            assert!(outcome.as_ref().is_ok_and(|got| answer_of(got) == answer_of(&answer)) || outcome.is_err());
            assert_eq!(summary(&fixture.steps_shown(&run).await), summary(&end));
            assert!(fixture.steps_have_ttl(&name).await);
        };
        assert!(fixture.proxy.at_each_write(script, context, round).await > 1, "{script} writes twice");
    }
}

/// The next call on the run gives it a TTL.
#[tokio::test]
async fn a_run_of_steps_that_is_interrupted_and_not_repeated_gets_a_ttl() {
    let fixture = Interrupting::start().await;
    let warm = WorkflowRun::named("warm").unwrap();
    fixture.call_on_steps(&warm, Call::Begin).await.unwrap();
    fixture.call_on_steps(&warm, Call::Sleep).await.unwrap();
    let calls = [("step/begin", Call::Begin), ("step/sleep", Call::Sleep)];
    let mut number = 0;
    for ((script, call), before) in calls.iter().flat_map(|it| [(it, Before::Nothing), (it, Before::Expired)]) {
        let round = async |interruption: &mut Interruption<'_>| {
            number += 1;
            let name = format!("run-{number}");
            let run = WorkflowRun::named(&name).unwrap();
            fixture.steps(&run, before).await;
            let _ = interruption.during(fixture.call_on_steps(&run, *call)).await;
            begin(&fixture.store, &attempt(&run, "next", 9)).await.unwrap();
            assert!(fixture.steps_have_ttl(&name).await);
        };
        assert!(fixture.proxy.at_each_write(script, format!("{call:?} {before:?}"), round).await > 1);
    }
}

/// An answer without the times, which differ between the runs.
fn answer_of(answer: &str) -> &str {
    answer.split(' ').next().unwrap_or_default()
}

/// What has to be the same after each interruption: all but the times.
fn summary(steps: &[StepInfo]) -> Vec<String> {
    let line = |info: &StepInfo| {
        let (state, last_error) = (info.state, &info.last_error);
        format!("{} {state:?} {} {} {last_error:?} {:?}", info.step, info.attempt, info.attempts, info.output)
    };
    steps.iter().map(line).collect()
}

#[tokio::test]
async fn concurrent_calls_are_coalesced_and_each_gets_its_own_answer() {
    const TASKS: u64 = 50;
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    server.command(&["SET", "test:orders:{w.n:bad}:steps", "canary"]).await.unwrap();
    let calls = async || server.command_calls().await.unwrap().get("evalsha").copied().unwrap_or(0);
    let before = calls().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let bad = attempt(&WorkflowRun::named("bad").unwrap(), "read", 1);
                assert!(matches!(finish(&store, &bad, "").await, Err(Error::Corrupt { .. })));
                let own = attempt(&WorkflowRun::named(task.to_string()).unwrap(), "read", task + 1);
                assert!(begin(&store, &own).await.unwrap().is_started());
                let output = Bytes::from(format!("output {task}"));
                assert!(store.finish(&own, &output, Durability::Accepted).await.unwrap().value);
                assert_eq!(begin(&store, &own).await.unwrap(), StepBegun::Finished(output));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let sent = calls().await - before;
    assert!(sent < 2 * TASKS, "{sent} calls for {}", 4 * TASKS);
}
