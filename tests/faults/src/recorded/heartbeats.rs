//! Recorded heartbeats.

use async_trait::async_trait;
use twinstore::Result;
use twinstore::heartbeat::{Beat, Heartbeats, Member, PoolName};
use twinstore::name::HolderName;
use twinstore::page::{Page, PageRequest};
use twinstore::time::Timestamp;

use super::queue::millis;
use super::{Recorded, record};
use crate::history::{Answer, Call};

#[async_trait]
impl Heartbeats for Recorded<dyn Heartbeats> {
    async fn beat(&self, beat: &Beat) -> Result<()> {
        let (pool, member) = (beat.pool.to_string(), beat.member.to_string());
        let invocation = self.recorder.invoke(Call::Beat { pool, member, lasting_ms: millis(beat.lasting) });
        record(invocation, self.inner.beat(beat).await, |()| Answer::Done)
    }

    async fn leave(&self, pool: &PoolName, member: &HolderName) -> Result<bool> {
        let invocation = self.recorder.invoke(Call::Leave { pool: pool.to_string(), member: member.to_string() });
        record(invocation, self.inner.leave(pool, member).await, |left| Answer::One(*left))
    }

    async fn alive(&self, pool: &PoolName, page: PageRequest) -> Result<Page<Member>> {
        let invocation = self.recorder.invoke(Call::Alive { pool: pool.to_string() });
        let result = self.inner.alive(pool, page).await;
        record(invocation, result, |members| {
            Answer::Names(members.items.iter().map(|member| member.name.to_string()).collect())
        })
    }

    async fn lost(&self, pool: &PoolName, since: Timestamp, page: PageRequest) -> Result<Page<Member>> {
        self.inner.lost(pool, since, page).await
    }
}
