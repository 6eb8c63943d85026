//! Findings about the credentials themselves.

use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

pub(crate) fn credentials(draft: &Draft) -> Vec<Finding> {
    let [cache, state] = [&draft.cache, &draft.state].map(|place| place.as_ref().and_then(|place| place.server()));
    let mut findings: Vec<_> =
        [cache, state].into_iter().flatten().flat_map(|connection| of_one(draft, connection)).collect();
    if let (Some(cache), Some(state)) = (cache, state) {
        let password = cache.password();
        if password.is_some() && password == state.password() && cache.user() == state.user() {
            let finding = Finding::new(Code::SharedCredential, None, "both roles log in with one user and password");
            findings.push(finding.with_help("<user>", cache.user()));
        }
    }
    findings
}

fn of_one(draft: &Draft, connection: &Connection) -> impl Iterator<Item = Finding> {
    let no_tls = !connection.url.is_tls() && connection.leaves_the_machine();
    let user = connection.user();
    // The name may be a password without the colon before it.
    let no_password = match connection.url.username() {
        Some(_) => "the URL has a user and no password; a password without a user is written :PASSWORD@".to_owned(),
        None => format!("no password is configured for the user {user}"),
    };
    [
        no_tls.then(|| connection.finding(Code::NoTls, "the connection is not encrypted")),
        (!connection.has_password()).then(|| connection.finding(Code::NoPassword, no_password)),
        (user == "default").then(|| {
            let finding = connection.finding(Code::DefaultUser, "the service logs in as the default user");
            finding.with_help("<rules>", &draft.rules(connection))
        }),
    ]
    .into_iter()
    .flatten()
}
