//! Listing steps.

use store_core::{Cursor, Error, Op, PageRequest, StepState};

use super::{attempt, both, carried_out, fail, named, started};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::StepList;
    steps_are_listed_in_the_order_in_which_they_first_began,
    a_listing_goes_on_at_its_cursor,
    a_run_without_steps_is_empty,
    a_cursor_of_another_listing_is_refused,
}

async fn steps_are_listed_in_the_order_in_which_they_first_began(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        carried_out(&fixture, &attempt(&run, "reserve", 1), "reserved").await?;
        started(&fixture, &attempt(&run, "charge", 1)).await?;
        fail(&fixture, &attempt(&run, "charge", 1), "closed").await?;
        fixture.advance(secs(1));
        started(&fixture, &attempt(&run, "a last one", 1)).await?;
        started(&fixture, &attempt(&run, "charge", 2)).await?;
        let page = fixture.state.steps().list(&run, PageRequest::default()).await?;
        let shown: Vec<_> =
            page.items.iter().map(|info| (info.step.as_str(), info.state, info.attempts, info.output_bytes)).collect();
        let expected = [
            ("reserve", StepState::Finished, 1, 8),
            ("charge", StepState::Running, 2, 0),
            ("a last one", StepState::Running, 1, 0),
        ];
        check_eq!(shown, expected);
        check_eq!(page.items[1].last_error.as_deref(), Some("closed"));
        check_eq!((page.items[0].output.clone(), page.next), (None, None));
    }
    Ok(())
}

async fn a_listing_goes_on_at_its_cursor(fixture: Fixture) -> Verdict {
    let run = named(&fixture);
    let names: Vec<String> = (0..25).map(|number| format!("step-{number}")).collect();
    for name in &names {
        started(&fixture, &attempt(&run, name, 1)).await?;
    }
    let (mut request, mut listed, mut pages) = (PageRequest::first(10), Vec::new(), Vec::new());
    loop {
        let page = fixture.state.steps().list(&run, request).await?;
        pages.push(page.items.len());
        listed.extend(page.items.into_iter().map(|info| info.step.as_str().to_owned()));
        let Some(next) = page.next else { break };
        // Steps that begin meanwhile are listed last.
        if pages.len() == 1 {
            started(&fixture, &attempt(&run, "meanwhile", 1)).await?;
        }
        request = PageRequest::first(10).with_cursor(next);
    }
    check_eq!((pages, listed.pop().as_deref()), (vec![10, 10, 6], Some("meanwhile")));
    check_eq!(listed, names);
    Ok(())
}

async fn a_run_without_steps_is_empty(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let page = fixture.state.steps().list(&run, PageRequest::default()).await?;
        check_eq!((page.items.len(), page.next), (0, None));
    }
    Ok(())
}

async fn a_cursor_of_another_listing_is_refused(fixture: Fixture) -> Verdict {
    let run = named(&fixture);
    started(&fixture, &attempt(&run, "charge", 1)).await?;
    let request = PageRequest::default().with_cursor(Cursor::new("abc"));
    let refused = fixture.state.steps().list(&run, request).await;
    check_matches!(refused, Err(Error::InvalidArgument { op: Op::StepList, .. }));
    let behind = PageRequest::default().with_cursor(Cursor::new("7"));
    check_eq!(fixture.state.steps().list(&run, behind).await?.items.len(), 0);
    Ok(())
}
