//! Many values in one command.

use store_core::{Durability, Error, Op, Result};

use super::Link;
use crate::wire::Request;
use crate::{Arg, Reply};

impl Link {
    /// The values of many keys by one `MGET`, in order; `None` for a key without a value or of another type.
    ///
    /// `absent` is the first key of the command. It must be a key that nobody writes or can guess: the reply then
    /// begins with nil and can never be mistaken for a message.
    ///
    /// # Errors
    /// As [`Link::command`].
    pub async fn values(&self, op: Op, absent: Arg, keys: impl IntoIterator<Item = Arg>) -> Result<Vec<Reply>> {
        let request = Request::new("MGET", std::iter::once(absent).chain(keys));
        let call = || self.send(op, request.clone(), None);
        match self.attempts(op, "MGET", &self.copies(Durability::Accepted), call).await? {
            (Reply::List(mut values), _) if values.first().is_some_and(Reply::is_nil) => {
                values.remove(0);
                Ok(values)
            }
            _ => Err(Error::corrupt(op, "the reply does not begin with nil")),
        }
    }
}
