//! The reply to `HELLO`.

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
}

impl Greeting {
    /// Reads the reply: a map, flattened into a list.
    pub(super) fn parse(reply: &Reply) -> Self {
        let Reply::List(fields) = reply else { return Self::default() };
        let field = |name: &str| {
            let mut pairs = fields.chunks_exact(2);
            let pair = pairs.find(|pair| pair[0].as_str() == Some(name))?;
            pair[1].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Self { server: field("server"), version: field("version"), mode: field("mode"), role: field("role") }
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
            [text("modules"), modules, text("id"), Reply::Int(7), text("role"), text("master"), text("server")];
        let greeting = Greeting::parse(&Reply::List(fields.into_iter().chain([text("redis")]).collect()));
        assert_eq!((greeting.server.as_deref(), greeting.role.as_deref()), (Some("redis"), Some("master")));
        assert_eq!((greeting.version, greeting.mode), (None, None));
        assert_eq!(Greeting::parse(&Reply::Nil), Greeting::default());
    }
}
