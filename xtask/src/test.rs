//! `cargo xtask test`: runs every test on real servers, and the suites that test servers on each fetched one.

use std::process::Command;

use clap::Args;
use testkit::servers::{CHOICE, INSTALLED, PACKAGES, find};

use crate::shell::{cargo, exists, run};
use skips::Skips;

mod skips;

/// What the tests start.
const SERVERS: [&str; 1] = ["redis-server"];

/// How `redis-server` is installed, by package manager: the manager, and its commands.
const INSTALLERS: [(&str, &[&[&str]]); 5] = [
    (
        "apt-get",
        &[
            &["apt-get", "update", "--quiet"],
            &["apt-get", "install", "--yes", "--quiet", "redis-server", "redis-sentinel"],
        ],
    ),
    ("dnf", &[&["dnf", "install", "--assumeyes", "redis"]]),
    ("apk", &[&["apk", "add", "redis"]]),
    ("pacman", &[&["pacman", "--sync", "--noconfirm", "redis"]]),
    ("brew", &[&["brew", "install", "redis"]]),
];

/// The test programs that run on every fetched server, each with its filters: the conformance suite; lost replies, random
/// sequences and foreign keys; behaviour that depends on the server's version; scripts that a crash interrupts; configuration files.
///
/// They are chosen by name, not by package: cargo would build a package alone with other features, and its dependencies again.
const ON_EVERY_SERVER: [(&str, &[&str]); 6] = [
    // Neither the embedded engines nor the emulation of Kvrocks depends on the server. `link` fails over with sentinels, and a cluster
    // of one node differs from one of three only in slots.
    ("engines", &["--skip", "embedded", "--skip", "kvrocks", "--skip", "one_node", "--skip", "sentinels"]),
    ("servers", &[]),
    (
        "link",
        &[
            "cluster",
            "durable",
            "errors",
            "hosts",
            "losses",
            "moved_slots",
            "power_cut",
            "pressure",
            "passwords",
            "probe",
            "refusals",
            "returning",
            "scripts",
            "sentinel",
            "subscriptions",
        ],
    ),
    ("state", &["crashes", "hand_over", "interrupt", "lost_repl", "partial_write", "waiting"]),
    ("deploy", &[]),
    ("server_conf", &[]),
];

/// How many random sequences of each model test a fetched server plays; the installed one plays 1,000 or 2,000.
const SEQUENCES: (&str, &str) = ("CONFORMANCE_SEQUENCES", "250");

/// How many scripts each test of `interruptions` interrupts on a fetched server; on the installed one 5,000.
const INTERRUPTIONS: (&str, &str) = ("TWINSTORE_INTERRUPTIONS", "100");

/// How many tests run at a time on a fetched server: most of their time they wait, for a lease to end or a failover.
const THREADS: (&str, &str) = ("RUST_TEST_THREADS", "4");

/// Run tests on real servers; installs redis-server if it is missing and that is allowed
#[derive(Args)]
pub(crate) struct Test {
    /// Which servers: `installed`, names that `cargo xtask servers list` prints, separated by commas, or `all`
    ///
    /// On the installed redis-server every test runs. On each other server only the suites that test servers run: conformance
    /// standalone and on a cluster, lost replies, durability, interrupted scripts, configuration files. A server that `all` does not find is
    /// skipped and reported.
    #[arg(long, value_name = "NAMES", default_value = "installed")]
    servers: String,
    /// Passed on to `cargo test`, on each of the servers, instead of their suites
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Test {
    /// Every test on the installed server, and the suites on each fetched one.
    pub(crate) fn on_all_servers() -> Self {
        Self { servers: "all".to_owned(), arguments: Vec::new() }
    }

    pub(crate) fn run(&self) -> Result<(), String> {
        let mut skips = Skips::default();
        let servers = self.chosen(&mut skips)?;
        provide_servers()?;
        for server in &servers {
            eprintln!("on {server}:");
            let mut commands = Vec::new();
            if server == INSTALLED || !self.arguments.is_empty() {
                let mut command = cargo(&["test", "--workspace"]);
                command.args(&self.arguments);
                commands.push(command);
            } else {
                commands.extend(ON_EVERY_SERVER.map(|(test, filters)| {
                    let mut command = cargo(&["test", "--workspace", "--test", test, "--"]);
                    command.args(filters);
                    for (name, value) in [SEQUENCES, INTERRUPTIONS, THREADS] {
                        if std::env::var_os(name).is_none() {
                            command.env(name, value);
                        }
                    }
                    command
                }));
            }
            for mut command in commands {
                skips.run(server, command.env(CHOICE, server))?;
            }
        }
        eprintln!("the tests passed on {}\n{skips}", servers.join(", "));
        Ok(())
    }

    fn chosen(&self, skips: &mut Skips) -> Result<Vec<String>, String> {
        if self.servers != "all" {
            let names = self.servers.split(',').map(|name| name.trim().to_owned());
            return names.map(|name| find(&name).map(|_| name).map_err(|missing| missing.to_string())).collect();
        }
        let mut chosen = vec![INSTALLED.to_owned()];
        for package in &PACKAGES {
            match find(package.name) {
                Ok(_) => chosen.push(package.name.to_owned()),
                Err(missing) => skips.note(package.name, &format!("all suites: {missing}")),
            }
        }
        Ok(chosen)
    }
}

fn provide_servers() -> Result<(), String> {
    let missing = SERVERS.iter().any(|server| !exists(server));
    if !missing {
        return Ok(());
    }
    let Some((manager, commands)) = INSTALLERS.iter().find(|(manager, _)| exists(manager)) else {
        return Err("the tests start redis-server (7.0 or later), which is not installed, and no package manager was \
                    found to install it; see https://redis.io/docs/latest/operate/oss_and_stack/install/"
            .to_owned());
    };
    eprintln!("redis-server is not installed; installing it with {manager}");
    for command in *commands {
        let elevated = *manager != "brew" && !is_root();
        let mut install = Command::new(if elevated { "sudo" } else { command[0] });
        if elevated {
            install.arg("--non-interactive").args(*command);
        } else {
            install.args(&command[1..]);
        }
        install.env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut install).map_err(|error| format!("{error}\nInstall it by hand as root: {}", by_hand(commands)))?;
    }
    Ok(())
}

fn by_hand(commands: &[&[&str]]) -> String {
    commands.iter().map(|command| command.join(" ")).collect::<Vec<_>>().join(" && ")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
