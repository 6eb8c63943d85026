//! Listing schedules.

use store_core::{Cursor, Error, Op, PageRequest};

use super::{minutely, name, put, with};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::ScheduleList;
    schedules_are_listed_by_name_in_pages,
    a_listing_shows_what_get_shows,
    a_cursor_of_another_listing_is_refused,
}

async fn schedules_are_listed_by_name_in_pages(fixture: Fixture) -> Verdict {
    let (schedules, queue) = (fixture.state.schedules(), fixture.queue("queue"));
    check!(schedules.list(&queue, PageRequest::default()).await?.items.is_empty());
    let names: Vec<String> = (0..25).map(|number| format!("report-{number:02}")).collect();
    for name in names.iter().rev() {
        put(&fixture, name, &minutely("report")).await?;
    }
    schedules.pause(&queue, &name("report-07")).await?;
    schedules.delete(&queue, &name("report-13")).await?;
    let (mut request, mut listed, mut pages) = (PageRequest::first(10), Vec::new(), 0);
    loop {
        let page = schedules.list(&queue, request).await?;
        check!(page.items.len() <= 10);
        listed.extend(page.items.iter().map(|info| info.name.to_string()));
        pages += 1;
        let Some(next) = page.next else { break };
        request = PageRequest::first(10).with_cursor(next);
    }
    let expected: Vec<_> = names.into_iter().filter(|name| name != "report-13").collect();
    check_eq!((listed, pages), (expected, 3));
    Ok(())
}

async fn a_listing_shows_what_get_shows(fixture: Fixture) -> Verdict {
    let (schedules, queue) = (fixture.state.schedules(), fixture.queue("queue"));
    super::watched(&fixture, "a", &with(store_core::CatchUp::Skip)).await?;
    put(&fixture, "b", &minutely("b")).await?;
    super::after(&fixture, 60).await?;
    schedules.pause(&queue, &name("b")).await?;
    for info in schedules.list(&queue, PageRequest::default()).await?.items {
        check_eq!(super::get(&fixture, info.name.as_str()).await?, Some(info));
    }
    Ok(())
}

async fn a_cursor_of_another_listing_is_refused(fixture: Fixture) -> Verdict {
    put(&fixture, "report", &minutely("report")).await?;
    for text in ["", "report", " "] {
        let request = PageRequest::default().with_cursor(Cursor::new(text));
        let refused = fixture.state.schedules().list(&fixture.queue("queue"), request).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::ScheduleList, .. }));
    }
    Ok(())
}
