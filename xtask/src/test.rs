//! `cargo xtask test`: runs every test on real servers, and the suites that test servers on each fetched one.

use std::process::Command;

use testkit::servers::{CHOICE, PACKAGES, find};

use crate::shell::{cargo, exists, run};

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

/// The test programs that also run on every fetched server: the conformance suite; lost replies, random sequences and
/// foreign keys; scripts that a crash interrupts; configuration files.
const ON_EVERY_SERVER: [(&str, &str); 5] = [
    ("conformance", "engines"),
    ("conformance", "servers"),
    ("state-store", "state"),
    ("store-validation", "deploy"),
    ("store-validation", "server_conf"),
];

/// Installs redis-server if it is missing and runs the tests of the whole workspace. Without arguments, the suites that test
/// servers then also run on each fetched server.
pub(crate) fn test(arguments: &[String]) -> Result<(), String> {
    provide_servers()?;
    let mut command = cargo(&["test", "--workspace"]);
    command.args(arguments);
    run(&mut command)?;
    if arguments.is_empty() { on_every_server() } else { Ok(()) }
}

fn on_every_server() -> Result<(), String> {
    let mut skipped = 0;
    for package in &PACKAGES {
        if let Err(missing) = find(package.name) {
            eprintln!("skipped the suites on {}: {missing}", package.name);
            skipped += 1;
            continue;
        }
        for (package_of_test, test) in ON_EVERY_SERVER {
            eprintln!("on {}:", package.name);
            let mut command = cargo(&["test", "--quiet", "--package", package_of_test, "--test", test]);
            match test {
                // the embedded engines were already tested
                "engines" => command.args(["--", "redis"]),
                "state" => command.args(["--", "crashes", "lost_replies"]),
                _ => &mut command,
            };
            run(command.env(CHOICE, package.name))?;
        }
    }
    eprintln!("the suites ran on {} more servers, {skipped} skipped", PACKAGES.len() - skipped);
    Ok(())
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
