//! Reading runs.

use bytes::Bytes;
use store_core::{Op, RunState, RunWrite};

use super::{TTL, created, id, new, written};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check_eq};

cases! { Op::RunGet;
    payloads_stay_until_they_are_written_again,
    a_run_that_has_expired_or_was_never_created_is_none,
}

async fn payloads_stay_until_they_are_written_again(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = created(&fixture, &new("1").with_input("a\0b")).await?;
    let get = async || fixture.state.runs().get(&id("1")).await;
    let payloads = async || -> store_core::Result<_> {
        let run = get().await?.unwrap_or(run.clone());
        Ok((run.input, run.output, run.await_request, run.error))
    };
    let bytes = |text: &'static str| Some(Bytes::from(text));
    check_eq!(payloads().await?, (bytes("a\0b"), None, None, None));
    let write = |state, version| RunWrite::new(id("1")).to(state, version);
    let run = written(&fixture, &write(RunState::InProgress, run.version).with_output("so far")).await?;
    let run = written(&fixture, &write(RunState::Awaiting, run.version).with_await_request("yes?")).await?;
    check_eq!(payloads().await?, (bytes("a\0b"), bytes("so far"), bytes("yes?"), None));
    let fail = write(RunState::Failed, run.version).with_error("größer").with_output("");
    let failed = written(&fixture, &fail).await?;
    check_eq!(payloads().await?, (bytes("a\0b"), bytes(""), bytes("yes?"), Some("größer".to_owned())));
    check_eq!((failed.output, failed.error), (None, None));
    Ok(())
}

async fn a_run_that_has_expired_or_was_never_created_is_none(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    fixture.advance(TTL.as_duration());
    for name in ["1", "2"] {
        check_eq!(fixture.state.runs().get(&id(name)).await?, None);
        check_eq!(fixture.state.runs().events(&id(name), 0, 10).await?, None);
    }
    Ok(())
}
