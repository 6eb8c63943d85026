//! What sentinels report about themselves: whom they know, and whether they can order a failover.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio::task::JoinSet;

use super::{Fact, Probe};
use crate::wire::{Request, Wire};
use crate::{Arg, Endpoint, LinkConfig, Reply, Topology};

/// The sentinels that monitor a service together, as one of them reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentinelGroup {
    /// The primary that it reports.
    pub primary: Endpoint,
    /// Its id, and those of the other sentinels that it knows.
    pub ids: BTreeSet<String>,
}

impl Probe {
    /// The group of the sentinel for this service (`SENTINEL MYID`, `SENTINEL SENTINELS` and `SENTINEL GET-MASTER-ADDR-BY-NAME`).
    pub async fn sentinel_group(&self, service: &str) -> Fact<SentinelGroup> {
        let myid = self.question("SENTINEL MYID", []).await;
        let others = self.question("SENTINEL SENTINELS", [Arg::from(service)]).await;
        let address = self.question("SENTINEL GET-MASTER-ADDR-BY-NAME", [Arg::from(service)]).await;
        let group = || {
            let (Reply::List(others), Reply::List(address)) = (others.known()?, address.known()?) else { return None };
            let [host, port] = address.as_slice() else { return None };
            let ids = others.iter().filter_map(|other| Some(field(other, "runid")?.to_owned()));
            Some(SentinelGroup {
                primary: Endpoint::new(host.as_str()?, port.as_str()?.parse().ok()?),
                ids: ids.chain(myid.known()?.as_str().map(str::to_owned)).collect(),
            })
        };
        Fact::of_option(group(), "the sentinel does not report the service")
    }

    /// The services that a sentinel monitors.
    pub async fn monitored_services(&self) -> Fact<Vec<String>> {
        let Fact::Known(reply) = self.question("SENTINEL MASTERS", []).await else {
            return Fact::Unknown("SENTINEL MASTERS was not answered".into());
        };
        let Reply::List(services) = reply else { return Fact::Known(Vec::new()) };
        let name = |service: &Reply| field(service, "name").map(str::to_owned);
        Fact::Known(services.iter().filter_map(name).collect())
    }

    /// Whether enough sentinels reach each other to authorize a failover, as one of them reports (`SENTINEL CKQUORUM`). Asks all
    /// sentinels of the URL at the same time, within one connect time-out.
    pub async fn sentinels_have_quorum(config: &LinkConfig) -> Fact<bool> {
        let Topology::Sentinel { sentinels, service } = config.url.topology() else {
            return Fact::Unknown("the URL names no sentinels".into());
        };
        let config = config.of_sentinels();
        let mut asking = JoinSet::new();
        for sentinel in sentinels.clone() {
            let (config, service) = (config.clone(), service.clone());
            asking.spawn(async move {
                let (wire, _driver) = Wire::open(&config, &sentinel).await?;
                let request = Request::new("SENTINEL CKQUORUM", [Arg::from(service)]);
                wire.send(request, config.connect_timeout).await
            });
        }
        let deadline = Instant::now() + config.connect_timeout;
        let (mut why, mut is_missing) = ("no sentinel answered", false);
        while let Ok(Some(answered)) = tokio::time::timeout_at(deadline.into(), asking.join_next()).await {
            match answered {
                Ok(Ok(_)) => return Fact::Known(true),
                Ok(Err(failure)) if failure.is_no_quorum() => is_missing = true,
                Ok(Err(failure)) if failure.is_forbidden() => why = "the user may not send SENTINEL CKQUORUM",
                _ => {}
            }
        }
        if is_missing { Fact::Known(false) } else { Fact::Unknown(why.into()) }
    }
}

/// A field of a list of names and values.
fn field<'r>(fields: &'r Reply, name: &str) -> Option<&'r str> {
    let Reply::List(fields) = fields else { return None };
    fields.chunks_exact(2).find(|pair| pair[0].as_str() == Some(name))?[1].as_str()
}
