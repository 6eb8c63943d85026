//! Whether the sentinels of a URL can order a failover.

use std::time::Instant;

use tokio::task::JoinSet;

use super::{Fact, Probe};
use crate::wire::{Request, Wire};
use crate::{Arg, LinkConfig, Topology};

impl Probe {
    /// The services that a sentinel monitors.
    pub async fn monitored_services(&self) -> Fact<Vec<String>> {
        let Fact::Known(reply) = self.question("SENTINEL MASTERS", []).await else {
            return Fact::Unknown("SENTINEL MASTERS was not answered".into());
        };
        let crate::Reply::List(services) = reply else { return Fact::Known(Vec::new()) };
        let name = |service: &crate::Reply| {
            let crate::Reply::List(fields) = service else { return None };
            let pair = fields.chunks_exact(2).find(|pair| pair[0].as_str() == Some("name"))?;
            pair[1].as_str().map(str::to_owned)
        };
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
