//! `twinstore leases`

use serde::Serialize;
use store_core::{LeaseName, Scope, Timestamp};

use super::Common;
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::progress::Progress;
use crate::store::{Store, all};
use crate::time::utc;

/// List the leases that are held now, of all services, including leaderships.
///
/// SERVICE is the service that the lease belongs to, or `-` if all services share it.
///
/// JSON fields: service (null if shared), lease, holder, fence, until_ms.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Leases {
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct LeaseRow {
    service: Option<String>,
    lease: LeaseName,
    holder: String,
    fence: u64,
    until_ms: Timestamp,
}

impl Row for LeaseRow {
    const HEADINGS: &'static [&'static str] = &["SERVICE", "LEASE", "HOLDER", "FENCE", "UNTIL"];

    fn cells(&self) -> Vec<String> {
        let service = self.service.clone().unwrap_or_else(|| "-".to_owned());
        vec![service, self.lease.to_string(), self.holder.clone(), self.fence.to_string(), utc(self.until_ms)]
    }
}

/// The service of a scope; `None` if all services share the scope.
pub(super) fn service(scope: &Scope) -> Option<String> {
    match scope {
        Scope::Service(service) => Some(service.to_string()),
        Scope::Shared => None,
    }
}

/// The scope of [`service`].
pub(super) fn scope(service: Option<&str>) -> Result<Scope, Failure> {
    let Some(service) = service else { return Ok(Scope::Shared) };
    let name = store_core::ServiceName::new(service).map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(Scope::Service(name))
}

impl Leases {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        let spinner = Progress::spinner("looking for leases");
        let state = store.state();
        let listed = all(async |after| {
            let page = state.leases(after).await?;
            let items = page.items.into_iter().map(|(scope, lease)| (service(&scope), lease)).collect();
            Ok(store_core::Page::new(items, page.next))
        });
        let names: Vec<(Option<String>, LeaseName)> = listed.await?;
        let mut rows = Vec::new();
        for (service, lease) in names {
            let scope = scope(service.as_deref())?;
            if let Some(held) = store.scoped(&scope).inspect(&lease).await? {
                let (holder, fence) = (held.holder.to_string(), held.fence.get());
                rows.push(LeaseRow { service, lease, holder, fence, until_ms: held.until });
            }
        }
        drop(spinner);
        output.rows(&rows)
    }
}
