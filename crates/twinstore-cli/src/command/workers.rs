//! `twinstore workers`

use serde::Serialize;
use store_core::{Member, PageRequest, PoolName, StateRole, Timestamp};

use super::Common;
use super::leases::{scope, service};
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::progress::Progress;
use crate::store::{Store, all};
use crate::time::utc;

/// List the members of all pools that send heartbeats: workers and other processes.
///
/// SERVICE is the service that the pool belongs to, or `-` if all services share it. A worker appears here only if it was
/// built with a pool.
///
/// JSON fields: service (null if shared), pool, member, state (alive, lost), since_ms, last_ms, until_ms, details (what
/// the member sent, null if it is not text).
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Workers {
    /// Also list members that were lost in the last 24 hours
    #[arg(long)]
    lost: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct MemberRow {
    service: Option<String>,
    pool: PoolName,
    member: String,
    state: &'static str,
    since_ms: Timestamp,
    last_ms: Timestamp,
    until_ms: Timestamp,
    details: Option<String>,
}

impl Row for MemberRow {
    const HEADINGS: &'static [&'static str] = &["SERVICE", "POOL", "MEMBER", "STATE", "SINCE", "LAST BEAT", "DETAILS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.service.clone().unwrap_or_else(|| "-".to_owned()),
            self.pool.to_string(),
            self.member.clone(),
            self.state.to_owned(),
            utc(self.since_ms),
            utc(self.last_ms),
            self.details.clone().unwrap_or_default(),
        ]
    }
}

impl MemberRow {
    fn new(service: Option<&str>, pool: &PoolName, state: &'static str, member: Member) -> Self {
        Self {
            service: service.map(str::to_owned),
            pool: pool.clone(),
            member: member.name.to_string(),
            state,
            since_ms: member.since,
            last_ms: member.last,
            until_ms: member.until,
            details: String::from_utf8(member.details.to_vec()).ok(),
        }
    }
}

impl Workers {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        let spinner = Progress::spinner("looking for pools");
        let state = store.state();
        let listed = all(async |after| {
            let page = state.pools(after).await?;
            let items = page.items.into_iter().map(|(scope, pool)| (service(&scope), pool)).collect();
            Ok(store_core::Page::new(items, page.next))
        });
        let names: Vec<(Option<String>, PoolName)> = listed.await?;
        drop(spinner);
        for (service, pool) in names {
            let state = store.scoped(&scope(service.as_deref())?);
            for listing in ["alive", "lost"].into_iter().take(if self.lost { 2 } else { 1 }) {
                let mut request = PageRequest::first(PageRequest::MAX_LIMIT);
                while !output.is_closed() {
                    let page = members(state.as_ref(), &pool, listing, request).await?;
                    let row = |member| MemberRow::new(service.as_deref(), &pool, listing, member);
                    output.rows(&page.items.into_iter().map(row).collect::<Vec<_>>())?;
                    let Some(next) = page.next else { break };
                    request = PageRequest::first(PageRequest::MAX_LIMIT).with_cursor(next);
                }
            }
        }
        Ok(())
    }
}

async fn members(
    state: &dyn StateRole,
    pool: &PoolName,
    listing: &str,
    request: PageRequest,
) -> store_core::Result<store_core::Page<Member>> {
    match listing {
        "alive" => state.alive(pool, request).await,
        _ => state.lost(pool, Timestamp::default(), request).await,
    }
}
