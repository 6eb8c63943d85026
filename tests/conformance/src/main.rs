//! The suite against servers that already run; `cargo xtask conformance` starts it. The URLs are in environment
//! variables, because every user of the machine can read a command line.

use std::process::ExitCode;

use conformance::Target;
use redis_link::TlsFiles;
use store_core::Role;

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its user")]
async fn main() -> ExitCode {
    let filter = variable("CONFORMANCE_FILTER").unwrap_or_default();
    let result = if variable("CONFORMANCE_LIST").is_some() {
        conformance::listing(&filter).map(|names| (names, true))
    } else if let (Some(cache), Some(state)) = (target(Role::Cache), target(Role::State)) {
        conformance::against(&cache, &state, &filter).await.map(|report| (report.to_string(), report.is_ok()))
    } else {
        eprintln!("error: run it as `cargo xtask conformance --cache-url URL --state-url URL`");
        return ExitCode::from(2);
    };
    match result {
        Ok((text, is_ok)) => {
            println!("{text}");
            if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The server that the variables `CONFORMANCE_CACHE_…` or `CONFORMANCE_STATE_…` describe.
fn target(role: Role) -> Option<Target> {
    let side = match role {
        Role::Cache => "CACHE",
        Role::State => "STATE",
    };
    let of = |what: &str| variable(&format!("CONFORMANCE_{side}_{what}"));
    let mut target = Target::new(role, of("URL")?);
    if let Some(username) = of("USERNAME") {
        target = target.with_username(username);
    }
    if let Some(path) = of("PASSWORD_FILE") {
        target = target.with_password_file(path);
    }
    let mut tls = TlsFiles::new();
    tls.ca = of("CA_FILE").map(Into::into);
    tls.certificate = of("CERT_FILE").map(Into::into);
    tls.key = of("KEY_FILE").map(Into::into);
    Some(target.with_tls(tls))
}
