//! Retries: their stored form, a full server, interrupted scripts, coalesced calls.

use std::time::Duration;

use store_core::{
    Backoff, Durability, Error, Key, Result, Retries, RetryAttempt, RetryBegun, RetryDecision, RetryFailed, RetryInfo,
    RetryPolicy, RetryRequest, Timestamp, Ttl,
};
use testkit::{DEADLINE, Interruption, RedisServer, ScriptProxy, wait_until};

use crate::interrupting::Interrupting;
use crate::{Fixture, fixture, fixture_with, open};
use state_store::{StateOptions, StateStore};

const MINUTE: Duration = Duration::from_secs(60);
const KEY: &str = "test:orders:{o.mail}:retries";
const ACCEPTED: Durability = Durability::Accepted;

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn request(name: &str) -> RetryRequest {
    let policy = RetryPolicy::new(2, Backoff::Fixed(MINUTE));
    RetryRequest::new(key(name), policy).with_lasting(MINUTE).with_ttl(Ttl::from_secs(600))
}

async fn begin(store: &StateStore, request: &RetryRequest) -> Result<RetryBegun> {
    Ok(Retries::begin(store, request, ACCEPTED).await?.value)
}

async fn started(store: &StateStore, name: &str) -> RetryAttempt {
    begin(store, &request(name)).await.unwrap().attempt().expect("it is due")
}

async fn fail(store: &StateStore, attempt: &RetryAttempt, decision: RetryDecision) -> Result<RetryFailed> {
    Ok(Retries::fail(store, attempt, "offline", decision, ACCEPTED).await?.value)
}

async fn succeed(store: &StateStore, attempt: &RetryAttempt) -> Result<bool> {
    Ok(store.succeed(attempt, ACCEPTED).await?.value)
}

#[tokio::test]
async fn an_operation_is_one_string_that_expires() {
    let Fixture { server, store, .. } = fixture().await;
    let margin = Duration::from_secs(3600);
    let first = started(&store, "mail").await;
    assert_eq!(server.command(&["TYPE", KEY]).await.unwrap().as_str(), Some("string"));
    let ttl = async || {
        let millis = server.command(&["PTTL", KEY]).await.unwrap().as_integer().unwrap();
        Duration::from_millis(u64::try_from(millis).expect("the key has a TTL"))
    };
    let lasts = margin + 11 * MINUTE;
    assert!(ttl().await > lasts - MINUTE && ttl().await <= lasts);
    assert!(succeed(&store, &first).await.unwrap());
    assert!(ttl().await > lasts - MINUTE, "a write does not shorten it");
    let keys = server.command(&["KEYS", "test:*{o.*"]).await.unwrap().as_strings().unwrap();
    assert_eq!(keys, [KEY]);
    // Of a cleared one the fence alone is left, for a day.
    assert!(store.clear(&key("mail")).await.unwrap());
    let day = Duration::from_secs(24 * 3600);
    assert!(ttl().await > day - MINUTE && ttl().await <= day);
    assert_eq!(server.command(&["STRLEN", KEY]).await.unwrap().as_integer(), Some(100));
    assert_eq!(Retries::get(&store, &key("mail")).await.unwrap(), None);
    assert!(Retries::list(&store, None).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn what_was_begun_can_end_on_a_full_server() {
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    let (first, second) = (started(&store, "first").await, started(&store, "second").await);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    assert!(matches!(begin(&store, &request("third")).await, Err(Error::Limit { .. })));
    assert!(matches!(fail(&store, &first, RetryDecision::Retry).await, Ok(RetryFailed::Again { .. })));
    assert!(succeed(&store, &second).await.unwrap());
    assert!(store.clear(&key("first")).await.unwrap());
}

#[tokio::test]
async fn foreign_data_is_corrupt_and_not_shown() {
    let Fixture { server, store, .. } = fixture().await;
    let mut attempt = started(&store, "other").await;
    attempt.operation = key("mail");
    let damages: [&[&str]; 4] = [
        &["RPUSH", KEY, "canary"],
        &["SET", KEY, "canary"],
        &["SET", KEY, "1canary"],
        &["SET", KEY, "1w00000000000000070000020000000000000010000000000000029000000000000000canary"],
    ];
    for damage in damages {
        server.command(&["DEL", KEY]).await.unwrap();
        server.command(damage).await.unwrap();
        let refusals = [
            begin(&store, &request("mail")).await.map(drop),
            fail(&store, &attempt, RetryDecision::Retry).await.map(drop),
            succeed(&store, &attempt).await.map(drop),
            store.clear(&key("mail")).await.map(drop),
            Retries::get(&store, &key("mail")).await.map(drop),
            Retries::list(&store, None).await.map(drop),
        ];
        for error in refusals.map(Result::unwrap_err) {
            assert!(matches!(error, Error::Corrupt { .. }), "{damage:?}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}

/// Each state of an operation before a call.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    Running,
    TimedOut,
    Due,
    Expired,
}

/// Each call that writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    Begin,
    Retry,
    Fail,
    Succeed,
    Clear,
}

impl Interrupting {
    /// Returns the attempt that runs, and a request for the next one.
    async fn operation(&self, name: &str, before: Before) -> (Option<RetryAttempt>, RetryRequest) {
        if matches!(before, Before::Nothing) {
            return (None, request(name));
        }
        let attempt = started(&self.store, name).await;
        match before {
            Before::TimedOut => self.clock.advance(MINUTE),
            Before::Due => {
                fail(&self.store, &attempt, RetryDecision::Retry).await.unwrap();
                self.clock.advance(MINUTE);
            }
            Before::Expired => self.clock.advance(11 * MINUTE),
            _ => {}
        }
        (Some(attempt), request(name))
    }

    /// The answer without times.
    async fn call_on_operation(
        &self,
        call: Call,
        attempt: Option<&RetryAttempt>,
        request: &RetryRequest,
    ) -> Result<String> {
        Ok(match (call, attempt) {
            (Call::Retry, Some(attempt)) => word(fail(&self.store, attempt, RetryDecision::Retry).await?),
            (Call::Fail, Some(attempt)) => word(fail(&self.store, attempt, RetryDecision::Fail).await?),
            (Call::Succeed, Some(attempt)) => succeed(&self.store, attempt).await?.to_string(),
            (Call::Clear, _) => {
                // the repetition by a caller finds nothing
                self.store.clear(&request.operation).await?;
                "cleared".to_owned()
            }
            _ => word(begin(&self.store, request).await?),
        })
    }

    async fn operation_shown(&self, name: &str) -> Option<String> {
        let info: RetryInfo = Retries::get(&self.store, &key(name)).await.unwrap()?;
        Some(format!("{:?} {} {:?} {:?}", info.state, info.attempts, info.last_error, info.next.is_some()))
    }
}

fn word(answer: impl std::fmt::Debug) -> String {
    format!("{answer:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// A repetition leads where the script would have led; without one, the operation is as before the call or as after it.
#[tokio::test]
async fn a_script_that_is_interrupted_after_any_write_can_be_repeated() {
    let fixture = Interrupting::start().await;
    let calls = [
        ("retry/begin", Call::Begin, Before::Nothing),
        ("retry/begin", Call::Begin, Before::TimedOut),
        ("retry/begin", Call::Begin, Before::Due),
        ("retry/begin", Call::Begin, Before::Expired),
        ("retry/fail", Call::Retry, Before::Running),
        ("retry/fail", Call::Fail, Before::Running),
        ("retry/succeed", Call::Succeed, Before::Running),
        ("retry/clear", Call::Clear, Before::Running),
    ];
    let mut number = 0;
    for (script, call, before) in calls {
        // What happens if nothing is interrupted; it also loads the script.
        let whole = format!("whole-{script}-{before:?}-{call:?}");
        let (attempt, request) = fixture.operation(&whole, before).await;
        let start = fixture.operation_shown(&whole).await;
        let answer = fixture.call_on_operation(call, attempt.as_ref(), &request).await.unwrap();
        let end = fixture.operation_shown(&whole).await;
        let context = format!("{call:?} {before:?}");
        let round = async |interruption: &mut Interruption<'_>| {
            number += 1;
            let name = format!("operation-{number}");
            let (attempt, request) = fixture.operation(&name, before).await;
            let outcome = interruption.during(fixture.call_on_operation(call, attempt.as_ref(), &request)).await;
            if outcome.is_err() {
                let shown = fixture.operation_shown(&name).await;
                assert!([&start, &end].contains(&&shown), "{shown:?}");
            }
            // The caller repeats it, if nobody has.
            let again = fixture.call_on_operation(call, attempt.as_ref(), &request).await.unwrap();
            assert_eq!(again, answer);
            assert!(outcome.as_ref().is_ok_and(|got| *got == answer) || outcome.is_err());
            assert_eq!(fixture.operation_shown(&name).await, end);
        };
        // A clearing also remembers its call.
        let writes = if script == "retry/clear" { 2 } else { 1 };
        assert_eq!(fixture.proxy.at_each_write(script, context, round).await, writes, "{script}");
    }
}

#[tokio::test]
async fn concurrent_calls_are_coalesced_and_each_gets_its_own_answer() {
    const TASKS: u64 = 50;
    let Fixture { server, store, .. } = fixture_with(StateOptions::default()).await;
    server.command(&["SET", KEY, "canary"]).await.unwrap();
    let calls = async || server.command_calls().await.unwrap().get("evalsha").copied().unwrap_or(0);
    let before = calls().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                assert!(matches!(begin(&store, &request("mail")).await, Err(Error::Corrupt { .. })));
                let attempt = started(&store, &task.to_string()).await;
                if task % 2 == 0 {
                    assert!(succeed(&store, &attempt).await.unwrap());
                } else {
                    let failed = fail(&store, &attempt, RetryDecision::Fail).await.unwrap();
                    assert_eq!(failed, RetryFailed::Exhausted);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let sent = calls().await - before;
    assert!(sent < 2 * TASKS, "{sent} calls for {}", 3 * TASKS);
}

/// To the scripts, the client's clock is wrong by an hour, in both directions.
#[tokio::test]
async fn waits_follow_the_clock_of_the_server_if_that_of_the_client_is_wrong() {
    let (server, hour, wait) = (RedisServer::state().start().await.unwrap(), 3600, Duration::from_secs(1));
    let proxy = ScriptProxy::start(&server).await.unwrap();
    let store = open(&proxy.url(), StateOptions::default()).await.unwrap();
    // loads the scripts
    let _ = fail(&store, &started(&store, "mail").await, RetryDecision::Retry).await.unwrap();
    for shift in [hour, -hour] {
        proxy.shift_clock(&["retry/begin", "retry/fail"], shift).await.unwrap();
        let name = format!("mail-{shift}");
        let policy = RetryPolicy::new(2, Backoff::Fixed(wait));
        let asked = || RetryRequest::new(key(&name), policy).with_lasting(MINUTE);
        let first = begin(&store, &asked()).await.unwrap().attempt().unwrap();
        let failed = fail(&store, &first, RetryDecision::Retry).await.unwrap();
        let RetryFailed::Again { at } = failed else { panic!("{failed:?}") };
        let ahead = at.as_millis() as i64 / 1000 - Timestamp::system_now().as_millis() as i64 / 1000;
        assert!((ahead - shift).abs() < 60, "{ahead} s ahead of the client's clock");
        match begin(&store, &asked()).await.unwrap() {
            RetryBegun::Wait { until, remaining } => {
                // The end of a wait is rounded up to a millisecond.
                assert!(until == at && remaining <= wait + Duration::from_millis(1), "{until:?} {remaining:?}")
            }
            // this machine is slow
            RetryBegun::Started(_) => continue,
            other => panic!("{other:?}"),
        }
        let begins = async || begin(&store, &asked()).await.unwrap().attempt().is_some_and(|next| next.number == 2);
        wait_until("the next attempt begins", DEADLINE, begins).await;
    }
}
