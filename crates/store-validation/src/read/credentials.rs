//! What the credentials themselves tell.

use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

pub(crate) fn credentials(draft: &Draft) -> Vec<Finding> {
    let [cache, state] = [&draft.cache, &draft.state].map(|place| place.as_ref().and_then(|place| place.server()));
    let mut findings: Vec<_> = [cache, state].into_iter().flatten().flat_map(of_one).collect();
    if let (Some(cache), Some(state)) = (cache, state) {
        let password = cache.password();
        if password.is_some() && password == state.password() && cache.user() == state.user() {
            findings.push(Finding::new(Code::SharedCredential, None, "both roles log in with one user and password"));
        }
    }
    findings
}

fn of_one(connection: &Connection) -> impl Iterator<Item = Finding> {
    let leaves_the_machine = connection.endpoint().is_some_and(|endpoint| !endpoint.is_loopback());
    let no_tls = !connection.url.is_tls() && leaves_the_machine;
    let no_password = connection.password().is_none() && connection.password_file.is_none();
    let default_user = connection.user() == "default";
    [
        no_tls.then(|| connection.finding(Code::NoTls, "the connection is not encrypted")),
        no_password.then(|| connection.finding(Code::NoPassword, "no password is configured")),
        default_user.then(|| connection.finding(Code::DefaultUser, "the service logs in as the default user")),
    ]
    .into_iter()
    .flatten()
}
