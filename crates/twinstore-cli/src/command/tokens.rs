//! `twinstore tokens`

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use store_core::{ResumeTokenInfo, StreamName};

use super::Common;
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::progress::Progress;
use crate::store::Store;
use crate::time::{parse_span, span};

/// List the resume tokens of streams, of all services, with their ages and how much longer they last.
///
/// AGE is the time since the last save. LEFT is the time until the token expires unless another one is saved: `never` for a
/// token without a TTL, `expired` for one that is kept for 30 days more. Both are times of the store's clock. The tokens of
/// homes are not listed.
///
/// JSON fields: stream, version, fence, bytes, saved_ms, until_ms (null if it does not expire), now_ms (the time of the
/// store). The tokens themselves are not listed.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Tokens {
    /// Only the streams whose names begin with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only the tokens that have expired or will expire within this time, such as 90s, 15m, 12h or 7d
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    expiring: Option<Duration>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
#[serde(transparent)]
struct TokenRow(ResumeTokenInfo);

impl Row for TokenRow {
    const HEADINGS: &'static [&'static str] = &["STREAM", "FENCE", "BYTES", "AGE", "LEFT"];

    fn cells(&self) -> Vec<String> {
        let Self(token) = self;
        let left = match token.left() {
            None => "never".to_owned(),
            Some(_) if token.is_expired() => "expired".to_owned(),
            Some(left) => span(left),
        };
        let numbers = [token.fence.get().to_string(), token.bytes.to_string()];
        let mut cells = vec![token.stream.to_string()];
        cells.extend(numbers.into_iter().chain([span(token.age()), left]));
        cells
    }
}

impl Tokens {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        let spinner = Progress::spinner("looking for resume tokens");
        // A listing may return a token twice.
        let (state, mut found, mut after) = (store.state(), BTreeMap::<StreamName, _>::new(), None);
        loop {
            let page = state.tokens(self.expiring, after).await?;
            let items = page.items.into_iter().filter(|token| token.stream.as_str().starts_with(&self.prefix));
            found.extend(items.map(|token| (token.stream.clone(), TokenRow(token))));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        drop(spinner);
        output.rows(&found.into_values().collect::<Vec<_>>())
    }
}
