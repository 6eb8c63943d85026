//! The JSON of what users print or return over HTTP: field names, units, and what does not appear.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use store_core::{
    Cancelled, Counts, Cursor, Deleted, Error, Explanation, Fence, Finished, HolderName, JobId, JobInfo, JobState, Key,
    LeaseInfo, LeaseName, LimitState, Member, OnUnavailable, Op, Page, Priority, Pushed, Put, Rate, RateCheck,
    RateDecision, RateLimit, RateLimitExt, Reached, Receipt, Replayed, Result, ResumeToken, ResumeTokenInfo, Role,
    Settled, StreamName, Timestamp, TokenVersion,
};

fn json_of(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn holder() -> HolderName {
    HolderName::new("host-1").unwrap()
}

fn job() -> JobId {
    JobId::new("job-7").unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn ids_times_and_words_are_plain_values() {
    assert_eq!(json_of(job()), "job-7");
    assert_eq!(job().to_string(), "job-7");
    assert_eq!(json_of(at(1_700_000_000_123)), 1_700_000_000_123_u64);
    assert_eq!(json_of(Fence::new(7)), 7);
    assert_eq!(json_of(Role::State), "state");
    assert_eq!(json_of(Priority::Critical), "critical");
    assert_eq!(JobState::ALL.map(json_of), JobState::ALL.map(|state| json!(state.to_string())));
}

#[test]
fn a_job_shows_times_in_milliseconds_and_no_bytes_of_the_application() {
    let mut info = JobInfo::new(job(), JobState::Running, at(1000));
    assert_eq!(
        json_of(&info),
        json!({
            "id": "job-7", "state": "running", "attempts": 0, "max_attempts": 0, "priority": "normal",
            "pushed_at_ms": 1000, "at_ms": null, "worker": null, "cancel_requested": false, "last_error": null,
        })
    );
    info.payload = Bytes::from_static(b"secret");
    info.progress = Some(Bytes::from_static(b"half"));
    info.result = Some(Bytes::new());
    (info.at, info.worker, info.last_error) = (Some(at(2000)), Some(holder()), Some("timed out".to_owned()));
    assert_eq!(
        json_of(&info),
        json!({
            "id": "job-7", "state": "running", "attempts": 0, "max_attempts": 0, "priority": "normal",
            "pushed_at_ms": 1000, "at_ms": 2000, "worker": "host-1", "cancel_requested": false,
            "last_error": "timed out", "payload_bytes": 6, "progress_bytes": 4, "result_bytes": 0,
        })
    );
}

#[test]
fn a_queue_shows_its_counts_and_pages_their_cursor() {
    let counts = Counts::new(1, 2, 3, 4, 5).with_paused(true);
    let shown = json!({"ready": 1, "scheduled": 2, "running": 3, "completed": 4, "dead": 5, "paused": true});
    assert_eq!(json_of(counts), shown);
    let page = Page::new(vec![job()], Some(Cursor::new("dead.17.61")));
    assert_eq!(json_of(page), json!({"items": ["job-7"], "next": "dead.17.61"}));
    assert_eq!(json_of(Page::<JobId>::new(Vec::new(), None)), json!({"items": [], "next": null}));
}

#[test]
fn an_explanation_names_its_variant() {
    let cases = [
        (Explanation::Unknown, json!({"why": "unknown"})),
        (Explanation::WaitsForWorker { ahead_at_most: 3 }, json!({"why": "waits_for_worker", "ahead_at_most": 3})),
        (Explanation::Paused, json!({"why": "paused"})),
        (
            Explanation::Scheduled { due: at(9), last_error: None },
            json!({"why": "scheduled", "due_ms": 9, "last_error": null}),
        ),
        (
            Explanation::Running { worker: holder(), until: at(9), cancel_requested: true },
            json!({"why": "running", "worker": "host-1", "until_ms": 9, "cancel_requested": true}),
        ),
        (
            Explanation::LeaseRanOut { worker: holder(), at: at(9) },
            json!({"why": "lease_ran_out", "worker": "host-1", "at_ms": 9}),
        ),
        (Explanation::Completed, json!({"why": "completed"})),
        (Explanation::Dead { reason: "deadline".to_owned() }, json!({"why": "dead", "reason": "deadline"})),
    ];
    for (explanation, shown) in cases {
        assert_eq!(json_of(explanation), shown);
    }
}

#[test]
fn outcomes_have_one_shape() {
    let one = |outcome: &str| json!({"outcome": outcome});
    assert_eq!(json_of(Pushed::Created { id: job() }), json!({"outcome": "created", "id": "job-7"}));
    assert_eq!(json_of(Pushed::Duplicate), one("duplicate"));
    assert_eq!(json_of(Pushed::Held { by: job() }), json!({"outcome": "held", "by": "job-7"}));
    assert_eq!(json_of(Replayed::Replayed), one("replayed"));
    assert_eq!(json_of(Replayed::Held { by: job() }), json!({"outcome": "held", "by": "job-7"}));
    assert_eq!(json_of(Replayed::NotDead), one("not_dead"));
    for outcome in [Cancelled::Removed, Cancelled::Requested, Cancelled::Finished, Cancelled::Unknown] {
        assert_eq!(json_of(outcome), one(outcome.name()));
    }
    for outcome in [Deleted::Deleted, Deleted::Running, Deleted::Unknown] {
        assert_eq!(json_of(outcome), one(outcome.name()));
    }
    let settled = [Settled::Done, Settled::Lost, Settled::Unknown];
    assert_eq!(settled.map(json_of), [one("done"), one("lost"), one("unknown")]);
    assert_eq!([Finished::Stored, Finished::Lost].map(json_of), [one("stored"), one("lost")]);
    assert_eq!([Put::Stored, Put::Occupied].map(json_of), [one("stored"), one("occupied")]);
}

#[test]
fn a_receipt_shows_what_was_reached() {
    let receipt = Receipt::new(Settled::Done, Reached::new(2, false));
    assert_eq!(json_of(receipt), json!({"value": {"outcome": "done"}, "reached": {"replicas": 2, "on_disk": false}}));
}

#[test]
fn a_lease_of_somebody_else_and_a_member_show_times_in_milliseconds() {
    let lease = LeaseInfo::new(LeaseName::new("scheduler").unwrap(), holder(), Fence::new(7), at(9));
    assert_eq!(json_of(lease), json!({"name": "scheduler", "holder": "host-1", "fence": 7, "until_ms": 9}));
    let member = Member::new(holder(), at(1), at(2), at(3)).with_details("secret");
    let shown = json!({"name": "host-1", "details_bytes": 6, "since_ms": 1, "last_ms": 2, "until_ms": 3});
    assert_eq!(json_of(member), shown);
}

#[test]
fn a_resume_token_shows_its_size_and_times_and_no_bytes() {
    let stream = StreamName::new("shop.orders").unwrap();
    let info = ResumeTokenInfo::new(stream, TokenVersion::new(5), Fence::new(7), at(1)).with_bytes(6);
    let mut shown = json!({
        "stream": "shop.orders", "version": 5, "fence": 7, "bytes": 6, "saved_ms": 1, "until_ms": null, "now_ms": 1,
    });
    assert_eq!(json_of(&info), shown);
    shown["until_ms"] = json!(9);
    shown["now_ms"] = json!(3);
    assert_eq!(json_of(info.clone().with_times(Some(at(9)), at(3))), shown);
    let token = ResumeToken::new(info, Bytes::from_static(b"secret"));
    assert!(!format!("{token:?}").contains("secret"));
}

/// A store that is unavailable.
#[derive(Debug)]
struct Unavailable;

#[async_trait::async_trait]
impl RateLimit for Unavailable {
    async fn check(&self, _: &[RateCheck]) -> Result<RateDecision> {
        Err(Error::unavailable(Op::RateLimitCheck, "down"))
    }

    async fn reset(&self, _: &[Key]) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_rate_decision_shows_durations_in_milliseconds_and_the_kind_of_an_error() {
    let limit = LimitState {
        allowed: false,
        limit: 10,
        remaining: 0,
        retry_after: Some(Duration::from_micros(1500)),
        reset_after: Duration::from_secs(2),
    };
    let limit_json =
        json!({"allowed": false, "limit": 10, "remaining": 0, "retry_after_ms": 2, "reset_after_ms": 2000});
    let decision = RateDecision::new(false, vec![limit]);
    assert_eq!(json_of(decision), json!({"allowed": false, "limits": [limit_json], "uncounted": null}));
    let check = RateCheck::new(Key::new("k").unwrap(), Rate::per_second(10));
    let uncounted = json_of(Unavailable.decide(&[check], OnUnavailable::Allow).await.unwrap());
    assert_eq!(uncounted["uncounted"], "unavailable");
    assert_eq!(uncounted["limits"][0]["retry_after_ms"], Value::Null);
}
