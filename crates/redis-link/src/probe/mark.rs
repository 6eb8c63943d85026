//! Keys that say whose a database is.

use store_core::{Error, Op, Result};

use super::{Fact, Probe, unknown};
use crate::Reply;
use crate::wire::Request;

impl Probe {
    /// The text of a key in a database; `None` where it is not set.
    pub async fn read_mark(&self, database: u32, key: &str) -> Fact<Option<String>> {
        let replies = self.in_database(database, vec![Request::new("GET", crate::args![key])]).await;
        match replies.map(|mut replies| replies.pop()) {
            Ok(Some(Ok(Reply::Nil))) => Fact::Known(None),
            Ok(Some(Ok(reply))) => {
                Fact::of_option(reply.as_str().map(|text| Some(text.to_owned())), "the key holds something else")
            }
            Ok(Some(Err(failure))) | Err(failure) => unknown(failure),
            Ok(None) => Fact::Unknown("no reply".into()),
        }
    }

    /// Writes a key without TTL, unless it is set: read it afterwards to know whose it is.
    ///
    /// # Errors
    /// As [`set_probe_key`](Self::set_probe_key).
    pub async fn set_mark(&self, database: u32, key: &str, text: &str) -> Result<()> {
        let request = Request::new("SET", crate::args![key, text, "NX"]);
        let into_error = |failure: crate::wire::Failure| -> Error { failure.into_error(Op::Probe, "SET") };
        for reply in self.in_database(database, vec![request]).await.map_err(into_error)? {
            reply.map_err(into_error)?;
        }
        Ok(())
    }
}
