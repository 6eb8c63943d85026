use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Sentinels;
use crate::certificates::Certificates;
use crate::port::ReservedPort;
use crate::server::{Kind, RedisServer, RedisServerBuilder, StartError, quoted};
use crate::topology::{Places, random_id, start_all};

/// How often sentinels send what, in milliseconds, instead of 1 s to 10 s. A down time below 1 s is only stable with these: a sentinel
/// that reconnects to a new primary must ping it sooner than after the down time.
const FAST_PERIODS: [(&str, &str); 6] = [
    ("ask-period", "100"),
    ("info-period", "200"),
    // While the primary is down, a replica's `INFO` is asked for every 1 s and is valid for 5 of these periods.
    ("ping-period", "300"),
    ("publish-period", "200"),
    // After a long pause of the process; 30 s by default.
    ("tilt-period", "500"),
    ("min-link-reconnect-period", "1000"),
];

/// The settings of [`Sentinels`]; made by [`Sentinels::builder`].
#[derive(Clone)]
#[must_use]
pub struct SentinelsBuilder {
    name: String,
    data: RedisServerBuilder,
    replicas: usize,
    sentinel_password: Option<String>,
    has_own_authority: bool,
    down_after: Duration,
    failover_timeout: Duration,
    has_fast_periods: bool,
    uses_hostnames: bool,
    uses_proxies: bool,
}

impl SentinelsBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: "main".to_owned(),
            data: RedisServer::builder(),
            replicas: 2,
            sentinel_password: None,
            has_own_authority: false,
            down_after: Duration::from_millis(1500),
            failover_timeout: Duration::from_secs(3),
            has_fast_periods: true,
            uses_hostnames: false,
            uses_proxies: false,
        }
    }

    /// The name of the primary in the sentinels; `main` by default.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The settings of the primary and of each replica: users, TLS, memory, persistence. The user of
    /// [`login`](RedisServerBuilder::login), by default the default user, is also that of replication and of the sentinels. With
    /// TLS the sentinels speak TLS too.
    pub fn data(mut self, data: RedisServerBuilder) -> Self {
        self.data = data;
        self
    }

    /// How many replicas there are; 2 by default.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// The password of the sentinels, for clients and for each other.
    pub fn sentinel_password(mut self, password: &str) -> Self {
        self.sentinel_password = Some(password.to_owned());
        self
    }

    /// The sentinels get certificates of their own authority ([`RedisServer::ca_file`] of a sentinel), and require each client to
    /// present a certificate of this authority or of that of the data servers. Only for data servers with TLS.
    pub fn own_authority(mut self) -> Self {
        self.has_own_authority = true;
        self
    }

    /// After this time without an answer a sentinel takes a server for down (`down-after-milliseconds`); 1.5 s by default. With 0.8 s
    /// a machine under load fails over without a reason.
    pub fn down_after(mut self, time: Duration) -> Self {
        self.down_after = time;
        self
    }

    /// `failover-timeout`; 3 s by default. After a failover, Sentinel waits twice this time before it begins another one.
    pub fn failover_timeout(mut self, time: Duration) -> Self {
        self.failover_timeout = time;
        self
    }

    /// Leaves the sentinels' own periods: a ping each second, `INFO` every 10 s. By default they are shorter, so that a failover
    /// takes 2 s instead of 4 s and an old primary is demoted at once. Use [`down_after`](Self::down_after) of 2 s or more with it.
    pub fn own_periods(mut self) -> Self {
        self.has_fast_periods = false;
        self
    }

    /// All servers and sentinels announce the name `localhost` instead of `127.0.0.1`.
    pub fn hostnames(mut self) -> Self {
        self.uses_hostnames = true;
        self
    }

    /// Puts a [`FaultProxy`](crate::FaultProxy) before the primary and each replica, and has each announce the address of its
    /// proxy. Clients, replicas and sentinels reach it only through the proxy. See [`Sentinels::proxy`].
    pub fn through_proxies(mut self) -> Self {
        self.uses_proxies = true;
        self
    }

    /// Starts all servers, and waits until the replicas are in sync and each sentinel reports all of them and the other sentinels.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// When the sentinels have not found each other within [`DEADLINE`](crate::DEADLINE).
    pub async fn start(self) -> Result<Sentinels, StartError> {
        let Places { ports: own_ports, proxies, announced: ports } =
            Places::reserve(self.replicas + 1, self.uses_proxies).await?;
        let builders = own_ports.iter().zip(&ports).map(|(port, announced)| self.data_builder(port, *announced));
        let mut builders = builders.collect::<Vec<_>>().into_iter();
        let primary = builders.next().expect("invariant: there is a primary").start().await?;
        let replicas = builders.map(|replica| replica.replica_at(&primary, self.host(), ports[0]));
        let replicas = start_all(replicas.collect()).await?;
        let sentinels = start_all(self.sentinel_builders(&primary, &ports)?).await?;
        let data = std::iter::once(primary).chain(replicas).collect();
        let started = Sentinels { name: self.name, data, sentinels, proxies };
        started.wait_settled().await;
        Ok(started)
    }

    fn host(&self) -> &'static str {
        if self.uses_hostnames { "localhost" } else { "127.0.0.1" }
    }

    fn data_builder(&self, port: &Arc<ReservedPort>, announced: u16) -> RedisServerBuilder {
        let data = self.data.clone().member(Kind::Member).listen_on(port).replicates_each_other();
        data.config("replica-announce-ip", self.host()).config("replica-announce-port", &announced.to_string())
    }

    /// Each sentinel begins with a file as if it had found the replicas and the others already, which takes up to 10 s.
    fn sentinel_builders(&self, primary: &RedisServer, ports: &[u16]) -> Result<Vec<RedisServerBuilder>, StartError> {
        let (name, host) = (&self.name, self.host());
        let own = match (primary.certificates(), self.has_own_authority) {
            (Some(_), true) => {
                let names = ["localhost", "127.0.0.1"].map(str::to_owned);
                Some(Arc::new(Certificates::generate(&names).map_err(StartError::Certificates)?))
            }
            _ => None,
        };
        let reserved = || ReservedPort::reserve().map(|port| (Arc::new(port), random_id()));
        let sentinels = std::iter::repeat_with(reserved).take(3).collect::<io::Result<Vec<_>>>()?;
        let builder = |(port, id): &(Arc<ReservedPort>, String)| {
            let mut builder = RedisServerBuilder::sentinel().listen_on(port);
            let mut lines = Vec::new();
            if self.uses_hostnames {
                lines.extend(["resolve-hostnames yes", "announce-hostnames yes"].map(str::to_owned));
                lines.push(format!("announce-ip {host}"));
            }
            lines.push(format!("myid {id}"));
            lines.push(format!("monitor {name} {host} {} 2", ports[0]));
            lines.push(format!("down-after-milliseconds {name} {}", self.down_after.as_millis()));
            lines.push(format!("failover-timeout {name} {}", self.failover_timeout.as_millis()));
            if let Some((user, password)) = self.data.credentials() {
                lines.push(format!("auth-user {name} {}", quoted(&user)));
                lines.push(format!("auth-pass {name} {}", quoted(&password)));
            }
            if let Some(password) = &self.sentinel_password {
                builder = builder.password(password);
                lines.push(format!("sentinel-pass {}", quoted(password)));
            }
            if let Some(data) = primary.certificates() {
                builder = match &own {
                    Some(own) => builder.tls_beside(own, &data)?,
                    None => builder.tls_of(primary),
                };
                builder = builder.config("tls-replication", "yes");
            }
            lines.extend(ports[1..].iter().map(|replica| format!("known-replica {name} {host} {replica}")));
            for (port, other) in sentinels.iter().filter(|(_, other)| other != id) {
                lines.push(format!("known-sentinel {name} {host} {} {other}", port.number()));
            }
            for (period, milliseconds) in FAST_PERIODS.iter().filter(|_| self.has_fast_periods) {
                builder = builder.first_command(&["SENTINEL", "DEBUG", period, milliseconds]);
            }
            Ok(lines.into_iter().fold(builder, |builder, line| builder.line(format!("sentinel {line}"))))
        };
        sentinels.iter().map(builder).collect()
    }
}
