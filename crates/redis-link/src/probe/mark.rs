//! Keys that mark the owner of a database.

use store_core::{Op, Result};

use super::{Fact, Probe, unknown};
use crate::Reply;
use crate::wire::Request;

impl Probe {
    /// The text of a key in a database; `None` if it is not set.
    pub async fn read_mark(&self, database: u32, key: &str) -> Fact<Option<String>> {
        match self.in_database(database, async || self.ask(Request::new("GET", crate::args![key])).await).await {
            Ok(Reply::Nil) => Fact::Known(None),
            Ok(reply) => {
                Fact::of_option(reply.as_str().map(|text| Some(text.to_owned())), "the key holds something else")
            }
            Err(failure) => unknown(failure),
        }
    }

    /// Writes a key without TTL, unless it is set. Read it afterwards to learn whose mark it is.
    ///
    /// # Errors
    /// As [`set_probe_key`](Self::set_probe_key).
    pub async fn set_mark(&self, database: u32, key: &str, text: &str) -> Result<()> {
        let args = crate::args![key, text, "NX"];
        let written = self.in_database(database, async || self.ask(Request::new("SET", args)).await).await;
        written.map(drop).map_err(|failure| failure.into_error(Op::Probe, "SET"))
    }
}
