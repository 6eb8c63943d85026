//! Records of one kind: of runs, or of sessions.

use bytes::Bytes;
use redis_link::layout::Aggregate;
use redis_link::{Arg, SharedScript, args};
use store_core::{Durability, Error, NewRun, Op, Receipt, Result, RunId, RunInfo, RunOutcome};

use super::listings::SWEPT_BY_CREATE;
use super::{GET, Kind, RunCalls, reply};
use crate::StateStore;

/// How often the entries of a record are written if they may have been swept before the record was created.
const TRIES: usize = 4;
/// The size of a head in a reply, roughly.
const HEAD_BYTES: usize = 256;

/// What [`Records::collected`] has found.
pub(super) enum Collected {
    Live(reply::Head),
    /// It was removed.
    Expired(reply::Head),
    Absent,
    /// What was found instead of a record.
    Damaged(Bytes),
}

/// The records of one kind.
#[derive(Clone, Copy)]
pub(super) struct Records<'a> {
    pub(super) store: &'a StateStore,
    pub(super) calls: &'a RunCalls,
}

impl Records<'_> {
    pub(super) fn op(&self) -> &'static Kind {
        self.calls.kind
    }

    pub(super) fn layouts(&self) -> Arg {
        self.store.link.layouts().argument(Aggregate::Run)
    }

    pub(super) async fn key(&self, op: Op, id: &RunId) -> Result<Vec<String>> {
        let home = self.store.home_keys(op).await?;
        let own = || self.calls.kind.keys.record(&self.store.namespace, id);
        Ok(vec![home.map_or_else(own, |home| home.run(id))])
    }

    /// The key of a remembered call that creates a record.
    async fn call_key(&self, id: &RunId, call: u64) -> Result<String> {
        let home = self.store.home_keys(self.op().create).await?;
        let own = || self.calls.kind.keys.call(&self.store.namespace, id, call);
        Ok(home.map_or_else(own, |home| home.call(call)))
    }

    pub(super) async fn create(&self, run: &NewRun, durability: Durability) -> Result<Receipt<RunOutcome>> {
        let mut may_replace = false;
        for _ in 0..TRIES {
            let (entries, indexed) = self.index_new(run, may_replace, durability).await?;
            // Without entries, nothing is created.
            let (created, lasts) = entries.as_ref().map_or((0, 0), |entries| (entries.created, entries.lasts));
            let args = args![
                &run.request.as_bytes()[..],
                format!("{created:016}"),
                lasts,
                format!("{:015}", run.ttl.as_millis()),
                run.max_events.clamp(100, NewRun::MAX_EVENTS),
                reply::names(&run.agent, run.session.as_ref()),
                &run.input,
                self.store.remembered_arg(durability),
            ];
            let mut keys = self.key(self.op().create, &run.run).await?;
            keys.push(self.call_key(&run.run, fastrand::u64(..)).await?);
            let answer = self.calls.create.call_durable(keys, args, run.input.len(), durability).await;
            let (mut reply, reached) = answer?;
            let word = reply.next_word()?;
            if word.as_ref() == b"stale" {
                may_replace = true;
                continue;
            }
            let is_done = match word.as_ref() {
                b"done" => true,
                b"conflict" => false,
                _ => return Err(reply.unknown_word()),
            };
            let found = reply::head(self.op().create, &run.run, &reply.next_bytes()?)?;
            if is_done {
                reply.record_write(run.run.as_str(), |write| write.with_number(found.info.version));
            }
            let indexed = match &entries {
                // An earlier copy has written them, perhaps with a lower durability.
                None if is_done => self.index_again(&found, durability).await?,
                Some(entries) if found.created != entries.created => {
                    self.restore_entries(run, entries, &found).await?;
                    indexed
                }
                _ => indexed,
            };
            if !is_done {
                return Ok(Receipt::new(RunOutcome::Conflict(found.info), reached.unwrap_or_default()));
            }
            if entries.is_some_and(|entries| entries.others_are_due) {
                // The next creation, or a sweep, does what this one cannot.
                let _ = self.sweep(SWEPT_BY_CREATE).await;
            }
            let reached = reached.and_then(|reached| indexed.map(|_| reached));
            return Ok(Receipt::new(RunOutcome::Done(found.info), reached?));
        }
        Err(Error::unavailable(
            self.op().create,
            "the process was suspended several times for longer than the time to live",
        ))
    }

    /// Writes with this script: `writes` or `ends`. `bytes`: the size of the payloads.
    pub(super) async fn write(
        &self,
        id: &RunId,
        script: &SharedScript,
        args: Vec<Arg>,
        bytes: usize,
        durability: Durability,
    ) -> Result<Receipt<RunOutcome>> {
        let op = self.op().write;
        let (mut reply, reached) = script.call_durable(self.key(op, id).await?, args, bytes, durability).await?;
        let outcome = reply::written(op, id, &mut reply)?;
        if let RunOutcome::Done(run) = &outcome {
            reply.record_write(id.as_str(), |write| write.with_number(run.version));
            return Ok(Receipt::new(outcome, reached?));
        }
        // Nothing was written, so `NotDurable` would be wrong.
        Ok(Receipt::new(outcome, reached.unwrap_or_default()))
    }

    pub(super) async fn get(&self, run: &RunId) -> Result<Option<RunInfo>> {
        let op = self.op().get;
        let mut reply =
            self.store.link.call(op, &GET, &self.key(op, run).await?, args![self.layouts()]).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"run" => {
                let mut info = reply::head(op, run, &reply.next_bytes()?)?.info;
                // A reply ends at its last payload.
                let mut payload = || if reply.remaining() > 0 { reply.next_opt_bytes() } else { Ok(None) };
                (info.input, info.output, info.await_request) = (payload()?, payload()?, payload()?);
                let error = payload()?.map(|error| String::from_utf8(error.into()));
                info.error = error.transpose().map_err(|_| Error::corrupt(op, "the error of the run is not UTF-8"))?;
                Ok(Some(info))
            }
            b"absent" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }

    pub(super) async fn delete(&self, run: &RunId) -> Result<bool> {
        match self.collected(run).await? {
            Collected::Live(found) => {
                self.remove(run, format!("{:016}", found.created), Bytes::new()).await?;
                self.remove_entries(&found).await?;
                Ok(true)
            }
            Collected::Expired(found) => self.remove_entries(&found).await.map(|()| false),
            Collected::Absent => Ok(false),
            // Its entries stay until a sweep looks at them: they name its agent and its session.
            Collected::Damaged(found) => self.remove(run, String::new(), found).await.map(|()| true),
        }
    }

    /// Removes the record that was created then, or, for an empty text, the damaged one that was found.
    async fn remove(&self, run: &RunId, created: String, damaged: Bytes) -> Result<()> {
        let key = self.key(self.op().delete, run).await?;
        let mut reply = self.calls.delete.call(key, args![created, damaged], 0).await?;
        if reply.next_word()?.as_ref() != b"deleted" {
            return Err(reply.unknown_word());
        }
        reply.record(run.as_str(), []);
        Ok(())
    }

    /// What is recorded. Removes it if it has expired.
    pub(super) async fn collected(&self, run: &RunId) -> Result<Collected> {
        let op = self.op().delete;
        let mut reply = self.calls.collect.call(self.key(op, run).await?, Vec::new(), HEAD_BYTES).await?;
        match reply.next_word()?.as_ref() {
            b"run" => {
                let found = reply.next_bytes()?;
                Ok(reply::head(op, run, &found).map_or_else(|_| Collected::Damaged(found), Collected::Live))
            }
            b"expired" => Ok(reply::head(op, run, &reply.next_bytes()?).map_or(Collected::Absent, Collected::Expired)),
            b"absent" => Ok(Collected::Absent),
            b"damaged" => Ok(Collected::Damaged(reply.next_bytes()?)),
            _ => Err(reply.unknown_word()),
        }
    }

    /// What is recorded, unless it has expired.
    pub(super) async fn described(&self, run: &RunId) -> Result<Option<reply::Head>> {
        let mut reply = self.calls.describe.call(self.key(self.op().list, run).await?, Vec::new(), HEAD_BYTES).await?;
        match reply.next_word()?.as_ref() {
            b"run" => Ok(Some(reply::head(self.op().list, run, &reply.next_bytes()?)?)),
            b"absent" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }
}
