//! Hand-offs. A row: the put's request, the claim that took it, the value. A row without a value keeps the put of an item that
//! was taken and then replaced, until its end; a row with the value keeps its claim for a while.

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{Handoff, HandoffItem, Key, Op, Put, RequestId, Result};

use super::EmbeddedCache;
use super::key_value::validate_value;
use super::keys::{handoff_claim_row, handoff_put_row, handoff_row};
use crate::database::Operation;
use crate::encoding::{Decoder, Encoder};
use crate::expiring;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::Change;

struct Waiting {
    request: RequestId,
    claim: Option<RequestId>,
    value: Bytes,
    end: u64,
}

impl Waiting {
    fn encode(&self) -> Vec<u8> {
        Encoder::with_capacity(33 + self.value.len())
            .tail(self.request.as_bytes())
            .option(self.claim, |row, claim| row.tail(claim.as_bytes()))
            .tail(&self.value)
            .finish()
    }

    fn decode(end: u64, row: &[u8]) -> Result<Self, Fault> {
        let mut row = Decoder::new(row);
        let request = RequestId::from_bytes(row.array()?);
        let claim = row.option(Decoder::array)?.map(RequestId::from_bytes);
        Ok(Self { request, claim, value: Bytes::copy_from_slice(row.tail()), end })
    }
}

#[async_trait]
impl Handoff for EmbeddedCache {
    async fn put(&self, item: &HandoffItem) -> Result<Put> {
        validate_value(Op::HandoffPut, &item.value)?;
        let (row, item) = (handoff_row(&item.to, &item.key), item.clone());
        let (clock, bounds) = (self.options.clock.clone(), self.bounds());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let past = handoff_put_row(&row, item.request);
            match expiring::get(change, &row, now, Waiting::decode)? {
                Some(waiting) if waiting.request == item.request => return Ok(Put::Stored),
                _ if expiring::get(change, &past, now, |_, _| Ok(()))?.is_some() => return Ok(Put::Stored),
                Some(Waiting { claim: None, .. }) => return Ok(Put::Occupied),
                Some(Waiting { request, claim: Some(claim), value, end }) => {
                    expiring::put(change, &handoff_put_row(&row, request), end, &[])?;
                    let end = end.min(now.after(HandoffItem::REPLACED_FOR));
                    expiring::put(change, &handoff_claim_row(&row, claim), end, &value)?;
                }
                None => {}
            }
            let end = now.after(item.ttl.as_duration());
            let waiting = Waiting { request: item.request, claim: None, value: item.value.clone(), end };
            expiring::put(change, &row, end, &waiting.encode())?;
            expiring::tidy(change, now, bounds)?;
            Ok(Put::Stored)
        };
        self.database.write(Operation::adding(Op::HandoffPut), apply).await
    }

    async fn take(&self, key: &Key, claim: RequestId) -> Result<Option<Bytes>> {
        let row = handoff_row(&self.service, key);
        let clock = self.options.clock.clone();
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let past = handoff_claim_row(&row, claim);
            if let Some(value) = expiring::get(change, &past, now, |_, value| Ok(Bytes::copy_from_slice(value)))? {
                return Ok(Some(value));
            }
            match expiring::get(change, &row, now, Waiting::decode)? {
                Some(mut waiting) if waiting.claim.is_none() => {
                    waiting.claim = Some(claim);
                    expiring::put(change, &row, waiting.end, &waiting.encode())?;
                    Ok(Some(waiting.value))
                }
                Some(waiting) if waiting.claim == Some(claim) => Ok(Some(waiting.value)),
                _ => Ok(None),
            }
        };
        self.database.write(Op::HandoffTake, apply).await
    }
}
