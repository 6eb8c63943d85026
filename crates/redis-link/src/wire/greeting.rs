//! The reply to `HELLO`.

use std::time::Duration;

use super::{Failure, Request, Wire};
use crate::Reply;

/// What a server reports about itself when a connection is opened (`HELLO`). It needs no right, so it is known even if
/// `INFO` is forbidden. A field that the server does not report is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Greeting {
    /// `server`: `redis` or `valkey`.
    pub server: Option<String>,
    /// `version`: that of the product, also on Valkey.
    pub version: Option<String>,
    /// `mode`: `standalone`, `sentinel` or `cluster`.
    pub mode: Option<String>,
    /// `role`: `master` or `replica`. A sentinel has none.
    pub role: Option<String>,
    /// `proto`: the version of the protocol that the connection uses from now on. Some servers stay at 2 if 3 is requested.
    pub protocol: Option<u8>,
}

impl Greeting {
    /// Reads the reply: a map, flattened into a list.
    pub(super) fn parse(reply: &Reply) -> Self {
        let Reply::List(fields) = reply else { return Self::default() };
        let value = |name: &str| {
            let mut pairs = fields.chunks_exact(2);
            pairs.find(|pair| pair[0].as_str() == Some(name)).map(|pair| &pair[1])
        };
        let field = |name: &str| value(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let protocol = value("proto").and_then(Reply::as_int).and_then(|version| version.try_into().ok());
        Self { server: field("server"), version: field("version"), mode: field("mode"), role: field("role"), protocol }
    }
}

impl Wire {
    /// Whether the server is a primary now; `None` if it does not report that on this connection: with RESP2, a server refuses the
    /// question on a connection that subscribes.
    pub(crate) async fn is_primary_now(&self, within: Duration) -> Result<Option<bool>, Failure> {
        if self.greeting().and_then(|greeting| greeting.protocol) != Some(3) {
            return Ok(None);
        }
        let greeting = Greeting::parse(&self.send(Request::new("HELLO", []), within).await?);
        Ok(greeting.role.map(|role| role == "master"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_order_and_others_are_ignored() {
        let text = |text: &'static str| Reply::Bytes(text.into());
        let modules = Reply::List(vec![text("server"), text("no")]);
        let fields =
            [text("modules"), modules, text("proto"), Reply::Int(2), text("role"), text("master"), text("server")];
        let greeting = Greeting::parse(&Reply::List(fields.into_iter().chain([text("redis")]).collect()));
        assert_eq!((greeting.server.as_deref(), greeting.role.as_deref()), (Some("redis"), Some("master")));
        assert_eq!((greeting.version, greeting.mode, greeting.protocol), (None, None, Some(2)));
        assert_eq!(Greeting::parse(&Reply::Nil), Greeting::default());
    }
}
