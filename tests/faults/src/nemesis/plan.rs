//! The plan of faults, the same for the same seed and duration.

use std::time::Duration;

use crate::Options;
use crate::environment::LINKS;
use crate::topology::PrimaryFault;
use crate::workload::random_of;

/// Requests are held for longer than an attempt of a command lasts: the repetition and later operations are answered first.
const HELD: Duration = Duration::from_millis(700);

/// A request that is held no longer than this arrives before its attempt ends.
const NOT_LATE: Duration = Duration::from_millis(200);

/// Faults that happen one after the other. Those of different sequences happen at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FaultSequence {
    pub(crate) faults: Vec<Fault>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The pause after the end of the previous fault.
    pub(crate) after: Duration,
    pub(crate) kind: Kind,
    /// How long it lasts; cuts and kills may last shorter or longer.
    pub(crate) lasts: Duration,
    /// Selects a connection, or the length of a delay.
    pub(crate) pick: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SIGKILL, then a start on the same port and data.
    KillState,
    /// SIGSTOP, then SIGCONT.
    StopState,
    /// Its memory is full: it refuses new jobs, and running jobs continue.
    FillState,
    /// It loses all scripts.
    FlushScripts,
    /// It rewrites its append-only file.
    RewriteState,
    /// SIGKILL and a start; the cache store is empty then.
    KillCache,
    /// SIGSTOP, then SIGCONT.
    StopCache,
    /// SIGKILL of the worker process, then a new one.
    KillProcess,
    /// SIGSTOP of the worker process for longer than its leases last, then SIGCONT.
    StopProcess,
    /// A fault of the primary of a topology.
    Primary(PrimaryFault),
    /// A fault of one link.
    Network(&'static str, Network),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// All connections end.
    Cut,
    /// All connections end, new ones are refused.
    Refuse,
    /// Everything arrives later.
    Delay,
    /// Every byte takes its time; what has queued up arrives at the end.
    Slow,
    /// All traffic is held, then arrives.
    Blackhole,
    /// Requests arrive; replies are held, then arrive.
    OneWay,
    /// One connection is held, then continues.
    Hold,
    /// Data sent on open connections disappears.
    HalfOpen,
    /// One script is executed, its reply is lost.
    CutAfterRequest,
    /// One script does not arrive.
    CutBeforeRequest,
    /// One script is executed, half of its reply arrives.
    CutInReply,
}

impl Kind {
    /// Its name in the history: kind and target.
    pub(crate) fn name(&self) -> String {
        match self {
            Kind::KillState => "kill state".to_owned(),
            Kind::StopState => "stop state".to_owned(),
            Kind::FillState => "fill state".to_owned(),
            Kind::FlushScripts => "flush-scripts state".to_owned(),
            Kind::RewriteState => "rewrite state".to_owned(),
            Kind::KillCache => crate::KILL_CACHE.to_owned(),
            Kind::StopCache => "stop cache".to_owned(),
            Kind::KillProcess => "kill process".to_owned(),
            Kind::StopProcess => "stop process".to_owned(),
            Kind::Primary(fault) => fault.name().to_owned(),
            Kind::Network(link, network) => format!("{} {link}", network.name()),
        }
    }
}

impl Kind {
    /// Whether held requests arrive when it ends.
    fn holds(&self) -> bool {
        matches!(
            self,
            Kind::StopState
                | Kind::StopCache
                | Kind::Network(_, Network::Hold | Network::Blackhole | Network::OneWay | Network::Slow)
        )
    }
}

impl Network {
    /// Faults that hold requests are twice as frequent.
    const ALL: [Network; 13] = [
        Network::Hold,
        Network::Blackhole,
        Network::Cut,
        Network::Refuse,
        Network::Delay,
        Network::Slow,
        Network::Blackhole,
        Network::OneWay,
        Network::Hold,
        Network::HalfOpen,
        Network::CutAfterRequest,
        Network::CutBeforeRequest,
        Network::CutInReply,
    ];

    fn name(self) -> &'static str {
        match self {
            Network::Cut => "cut",
            Network::Refuse => "refuse",
            Network::Delay => "delay",
            Network::Slow => "slow",
            Network::Blackhole => "blackhole",
            Network::OneWay => "one-way",
            Network::Hold => "hold",
            Network::HalfOpen => "half-open",
            Network::CutAfterRequest => "cut-after-request",
            Network::CutBeforeRequest => "cut-before-request",
            Network::CutInReply => "cut-in-reply",
        }
    }
}

impl FaultSequence {
    /// All sequences of a run: the state server, the cache server, the worker process, and two halves of the links.
    pub(crate) fn plan(seed: u64, duration: Duration, late_copies: bool) -> Vec<Self> {
        let sequence = |name: &str, means: (u64, u64), kind: &mut dyn FnMut(&mut fastrand::Rng) -> Kind| {
            let mut random = random_of(seed, name);
            let mut faults = Vec::new();
            let mut planned = Duration::ZERO;
            while planned < duration {
                let after = Duration::from_millis(random.u64(means.0 / 3..means.0 * 2));
                let kind = kind(&mut random);
                let mut lasts = Duration::from_millis(random.u64(50..means.1 * 2));
                if kind.holds() {
                    lasts = if late_copies { lasts + HELD } else { lasts.min(NOT_LATE) };
                }
                let pick = random.usize(0..1000);
                planned += after + lasts;
                faults.push(Fault { after, kind, lasts, pick });
            }
            FaultSequence { faults }
        };
        let halves = LINKS.split_at(LINKS.len() / 2);
        vec![
            sequence("state server", (3000, 1000), &mut |random| match random.u32(0..10) {
                0..4 => Kind::KillState,
                4..7 => Kind::StopState,
                7 => Kind::FillState,
                8 => Kind::FlushScripts,
                _ => Kind::RewriteState,
            }),
            sequence("cache server", (6000, 700), &mut |random| {
                if random.bool() { Kind::KillCache } else { Kind::StopCache }
            }),
            sequence("process", (4000, 2000), &mut |random| {
                if random.bool() { Kind::KillProcess } else { Kind::StopProcess }
            }),
            sequence("links 0", (600, 500), &mut |random| network(random, halves.0)),
            sequence("links 1", (600, 500), &mut |random| network(random, halves.1)),
        ]
    }

    /// The only sequence of a run with sentinels or a cluster: this fault repeatedly, or a random one each time.
    pub(crate) fn of_primary(options: &Options) -> Self {
        let Options { seed, duration, topology, fault, is_soak, .. } = *options;
        let mut random = random_of(seed, "primary");
        let mut planned = Duration::ZERO;
        let mut faults = Vec::new();
        while planned < duration {
            let after = Duration::from_millis(random.u64(2000..5000));
            let mut kinds = PrimaryFault::of(topology);
            // servers that were all restarted have no more of what they have leaked
            kinds.retain(|kind| !is_soak || *kind != PrimaryFault::Restart);
            let kind = Kind::Primary(fault.unwrap_or(kinds[random.usize(0..kinds.len())]));
            let lasts = Duration::from_millis(random.u64(500..3000));
            planned += after;
            faults.push(Fault { after, kind, lasts, pick: random.usize(0..1000) });
        }
        Self { faults }
    }

    /// Whether its faults affect the worker process, or it must keep the process running anyway.
    pub(crate) fn has_process(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.kind, Kind::KillProcess | Kind::StopProcess | Kind::Primary(_)))
    }
}

fn network(random: &mut fastrand::Rng, links: &[&'static str]) -> Kind {
    let link = links[random.usize(0..links.len())];
    Kind::Network(link, Network::ALL[random.usize(0..Network::ALL.len())])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::FaultSequence;

    #[test]
    fn the_plan_follows_from_the_seed() {
        let plan = |seed| FaultSequence::plan(seed, Duration::from_secs(90), true);
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        let faults: usize = plan(1).iter().map(|sequence| sequence.faults.len()).sum();
        assert!((100..300).contains(&faults), "{faults} faults in 90 s");
    }
}
