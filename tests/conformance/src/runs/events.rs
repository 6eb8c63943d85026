//! The events of runs.

use futures_util::future::try_join_all;
use store_core::{Op, RunEvent, RunEvents, RunInfo, RunOutcome, RunState, RunWrite};

use super::{created, events, id, in_states, kinds, new, note, write, written};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::RunEvents;
    events_are_read_in_the_order_in_which_they_were_appended,
    a_transition_comes_after_the_events_of_its_write,
    an_append_at_a_taken_sequence_is_a_conflict,
    a_repeated_append_at_a_sequence_is_appended_once,
    concurrent_appends_lose_nothing,
    a_read_continues_where_the_last_one_ended,
    a_read_behind_the_end_begins_again,
    a_read_of_removed_events_reports_truncated_before,
    all_events_have_at_most_8_mib,
    a_read_returns_about_1_mib,
    a_reader_learns_that_no_event_follows,
}

fn append(text: &str) -> RunWrite {
    RunWrite::new(id("1")).with_event(note(text))
}

fn texts(events: &RunEvents) -> Vec<(u64, String)> {
    let text = |event: &RunEvent| String::from_utf8_lossy(&event.data).into_owned();
    events.events.iter().map(|event| (event.sequence, text(event))).collect()
}

async fn events_are_read_in_the_order_in_which_they_were_appended(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    for text in ["z", "", "a\0"] {
        fixture.advance(secs(1));
        written(&fixture, &append(text)).await?;
    }
    let read = events(&fixture, "1", 1, 100).await?;
    check_eq!(texts(&read), [(1, "z".to_owned()), (2, String::new()), (3, "a\0".to_owned())]);
    check_eq!(read.events[2].at, fixture.now());
    check_eq!((read.next, read.truncated_before, read.continues), (4, None, true));
    Ok(())
}

async fn a_transition_comes_after_the_events_of_its_write(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[RunState::InProgress]).await?;
    let end = append("a").with_event(RunEvent::new("b", "")).to(RunState::Completed, run.version);
    written(&fixture, &end).await?;
    check_eq!(kinds(&fixture, "1").await?, ["run.created", "run.in-progress", "note", "b", "run.completed"]);
    Ok(())
}

async fn an_append_at_a_taken_sequence_is_a_conflict(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    let run = written(&fixture, &append("one").at_sequence(1)).await?;
    check_eq!(run.next_event, 2);
    check_eq!(write(&fixture, &append("two").at_sequence(1)).await?, RunOutcome::Conflict(run.clone()));
    check_eq!(write(&fixture, &append("two").at_sequence(3)).await?, RunOutcome::Conflict(run));
    check_eq!(texts(&events(&fixture, "1", 1, 100).await?), [(1, "one".to_owned())]);
    Ok(())
}

async fn a_repeated_append_at_a_sequence_is_appended_once(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    let first = append("one").at_sequence(1);
    written(&fixture, &first).await?;
    written(&fixture, &append("two").at_sequence(2)).await?;
    written(&fixture, &first).await?;
    let expected = [(1, "one".to_owned()), (2, "two".to_owned())];
    check_eq!(texts(&events(&fixture, "1", 1, 100).await?), expected);
    Ok(())
}

async fn concurrent_appends_lose_nothing(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    let appends: Vec<_> = (0..50).map(|number| append(&number.to_string())).collect();
    try_join_all(appends.iter().map(|append| write(&fixture, append))).await?;
    let mut read: Vec<u64> = Vec::new();
    for (_, text) in texts(&events(&fixture, "1", 1, 100).await?) {
        read.push(text.parse()?);
    }
    read.sort_unstable();
    check_eq!(read, (0..50).collect::<Vec<_>>());
    Ok(())
}

async fn a_read_continues_where_the_last_one_ended(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    for number in 1..10 {
        written(&fixture, &append(&number.to_string())).await?;
    }
    let (mut from, mut read) = (0, Vec::new());
    loop {
        let page = events(&fixture, "1", from, 3).await?;
        check!(page.events.len() <= 3);
        if page.events.is_empty() {
            check_eq!(page.next, from);
            break;
        }
        read.extend(page.events.iter().map(|event| event.sequence));
        from = page.next;
    }
    check_eq!(read, (0..10).collect::<Vec<_>>());
    Ok(())
}

/// A failover has lost the events that it has read, or it waits for a run that was deleted and created again.
async fn a_read_behind_the_end_begins_again(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    written(&fixture, &append("one")).await?;
    let waits = events(&fixture, "1", 2, 10).await?;
    check_eq!((waits.next, waits.truncated_before, waits.events.len(), waits.continues), (2, None, 0, true));
    for from in [3, 1000, u64::MAX] {
        let read = events(&fixture, "1", from, 1).await?;
        check_eq!((read.next, read.truncated_before, read.events.len(), read.continues), (1, Some(0), 1, true));
    }

    check!(fixture.state.runs().delete(&id("1")).await?);
    let run = created(&fixture, &new("1")).await?;
    written(&fixture, &RunWrite::new(id("1")).to(RunState::Cancelled, run.version)).await?;
    check_eq!(events(&fixture, "1", 2, 10).await?.continues, false);
    let read = events(&fixture, "1", 3, 10).await?;
    check_eq!((read.next, read.truncated_before, read.events.len(), read.continues), (2, Some(0), 2, false));
    Ok(())
}

async fn a_read_of_removed_events_reports_truncated_before(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1").with_max_events(100)).await?;
    for number in 1..100 {
        written(&fixture, &append(&number.to_string())).await?;
    }
    check_eq!(events(&fixture, "1", 0, 1000).await?.truncated_before, None);
    let six = (100..106).fold(RunWrite::new(id("1")), |write, number| write.with_event(note(&number.to_string())));
    let run = written(&fixture, &six).await?;
    check_eq!((run.first_event, run.next_event), (6, 106));
    let read = events(&fixture, "1", 5, 1000).await?;
    check_eq!((read.truncated_before, read.events.len(), read.events[0].sequence), (Some(6), 100, 6));
    check_eq!(events(&fixture, "1", 6, 1000).await?.truncated_before, None);
    let behind = events(&fixture, "1", 107, 1000).await?;
    check_eq!((behind.truncated_before, behind.events.len(), behind.next), (Some(6), 100, 106));
    Ok(())
}

async fn all_events_have_at_most_8_mib(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    let large = || RunEvent::new("large", vec![b'x'; RunEvent::MAX_BYTES]);
    let mut run = None;
    for _ in 0..5 {
        let write = (0..30).fold(RunWrite::new(id("1")), |write, _| write.with_event(large()));
        run = Some(written(&fixture, &write).await?);
    }
    let kept = run.map(|run: RunInfo| run.next_event - run.first_event).unwrap_or_default();
    // 128 of them without their heads have 8 MiB.
    check!((120..128).contains(&kept), "{kept} events");
    check_eq!(events(&fixture, "1", 0, 1).await?.truncated_before, Some(151 - kept));
    // The small ones after it are kept, and remove large ones.
    for _ in 0..10 {
        written(&fixture, &append("small")).await?;
    }
    check_eq!(texts(&events(&fixture, "1", 151, 100).await?).len(), 10);
    Ok(())
}

async fn a_read_returns_about_1_mib(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    let large = || RunEvent::new("large", vec![b'x'; RunEvent::MAX_BYTES]);
    let write = (0..40).fold(RunWrite::new(id("1")), |write, _| write.with_event(large()));
    written(&fixture, &write).await?;
    let read = events(&fixture, "1", 1, 1000).await?;
    check!((15..=18).contains(&read.events.len()), "{} events", read.events.len());
    check_eq!(read.next, 1 + read.events.len() as u64);
    check!(read.continues);
    Ok(())
}

async fn a_reader_learns_that_no_event_follows(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[RunState::InProgress]).await?;
    check!(events(&fixture, "1", 0, 100).await?.continues);
    written(&fixture, &RunWrite::new(id("1")).to(RunState::Cancelled, run.version)).await?;
    let read = events(&fixture, "1", 0, 2).await?;
    check!(read.continues);
    let last = events(&fixture, "1", read.next, 2).await?;
    check_eq!((last.events[0].kind.as_str(), last.continues), ("run.cancelled", false));
    check_eq!((events(&fixture, "1", 3, 2).await?.continues, last.next), (false, 3));
    check_matches!(write(&fixture, &append("late")).await?, RunOutcome::Illegal(RunInfo { .. }));
    Ok(())
}
