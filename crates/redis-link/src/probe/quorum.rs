//! Whether the sentinels of a URL can order a failover.

use super::{Fact, Probe};
use crate::wire::{Request, Wire};
use crate::{Arg, LinkConfig, Topology};

impl Probe {
    /// Whether enough sentinels reach each other to order a failover, as one of them reports (`SENTINEL CKQUORUM`). Asks those of
    /// the URL, one after the other, until one answers; each takes at most two connect time-outs.
    pub async fn sentinels_have_quorum(config: &LinkConfig) -> Fact<bool> {
        let Topology::Sentinel { sentinels, service } = config.url.topology() else {
            return Fact::Unknown("the URL names no sentinels".into());
        };
        let config = config.of_sentinels();
        let mut why = "no sentinel answered";
        for sentinel in sentinels {
            let Ok((wire, _driver)) = Wire::open(&config, sentinel).await else { continue };
            let request = Request::new("SENTINEL CKQUORUM", [Arg::from(service.as_str())]);
            match wire.send(request, config.connect_timeout).await {
                Ok(_) => return Fact::Known(true),
                Err(failure) if failure.is_no_quorum() => return Fact::Known(false),
                Err(failure) if failure.is_forbidden() => why = "the user may not send SENTINEL CKQUORUM",
                Err(_) => {}
            }
        }
        Fact::Unknown(why.into())
    }
}
