//! The name of each operation, and whether it can be repeated if its reply is lost.

use std::fmt;

/// The effect of sending an operation again, if its reply is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It only reads.
    Reads,
    /// It can be repeated: it carries an identity that the store remembers, or it leads to the same state.
    Idempotent,
    /// The caller can repeat it with the same identity, which the store remembers. The call itself never repeats it and
    /// returns [`Error::Indeterminate`](crate::Error) when the first request cannot be executed any more.
    ByCaller,
    /// It would count twice or take more. It is never repeated; the call returns [`Error::Indeterminate`](crate::Error).
    Never,
}

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $repeat:ident;)*) => {
        /// An operation of a store, as errors, metrics and spans name it.
        ///
        /// The name is the capability and the verb (`"queue.claim"`). The same verb names the method of the trait, the
        /// script, and the files that implement and test it.
        ///
        /// ```
        /// # #[tokio::main(flavor = "current_thread")]
        /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// # let (stores, _) = twinstore::testing::stores();
        /// use twinstore::Op;
        ///
        /// let error = stores.cache().rate_limit().check(&[]).await.expect_err("there is no limit to check");
        /// assert_eq!(error.op(), Op::RateLimitCheck);
        /// assert_eq!(error.op().name(), "rate_limit.check"); // also the label of metrics
        /// # Ok(())
        /// # }
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Op { $($(#[$doc])* $variant,)* }

        impl Op {
            /// Every operation, in the order of the capabilities.
            pub const ALL: &'static [Op] = &[$(Op::$variant,)*];

            /// The stable name: capability, dot, verb.
            pub fn name(self) -> &'static str {
                match self { $(Op::$variant => $name,)* }
            }

            /// Whether it can be repeated.
            pub fn repeat(self) -> Repeat {
                match self { $(Op::$variant => Repeat::$repeat,)* }
            }
        }
    };
}

ops! {
    /// Opens the connections to a server.
    Connect = "link.connect", Idempotent;
    /// Checks whether a server responds.
    Ping = "link.ping", Reads;
    /// Reads the version and the settings of a server.
    Probe = "link.probe", Idempotent;

    /// [`KeyValue::get_many`](crate::KeyValue::get_many)
    KeyValueGetMany = "key_value.get_many", Reads;
    /// [`KeyValue::set_many`](crate::KeyValue::set_many)
    KeyValueSetMany = "key_value.set_many", Idempotent;
    /// [`KeyValue::set_if_absent`](crate::KeyValue::set_if_absent)
    KeyValueSetIfAbsent = "key_value.set_if_absent", Idempotent;
    /// [`KeyValue::delete_many`](crate::KeyValue::delete_many)
    KeyValueDeleteMany = "key_value.delete_many", Idempotent;
    /// [`KeyValue::delete_if`](crate::KeyValue::delete_if)
    KeyValueDeleteIf = "key_value.delete_if", Idempotent;
    /// [`KeyValue::add`](crate::KeyValue::add)
    KeyValueAdd = "key_value.add", Never;

    /// [`Idempotency::begin`](crate::Idempotency::begin)
    IdempotencyBegin = "idempotency.begin", Idempotent;
    /// [`Idempotency::prolong`](crate::Idempotency::prolong)
    IdempotencyProlong = "idempotency.prolong", Idempotent;
    /// [`Idempotency::finish`](crate::Idempotency::finish)
    IdempotencyFinish = "idempotency.finish", Idempotent;
    /// [`Idempotency::abandon`](crate::Idempotency::abandon)
    IdempotencyAbandon = "idempotency.abandon", Idempotent;

    /// [`RateLimit::check`](crate::RateLimit::check)
    RateLimitCheck = "rate_limit.check", Never;
    /// [`RateLimit::reset`](crate::RateLimit::reset)
    RateLimitReset = "rate_limit.reset", Idempotent;

    /// [`Handoff::put`](crate::Handoff::put)
    HandoffPut = "handoff.put", Idempotent;
    /// [`Handoff::take`](crate::Handoff::take)
    HandoffTake = "handoff.take", Idempotent;

    /// [`Queue::push`](crate::Queue::push)
    QueuePush = "queue.push", Idempotent;
    /// [`Queue::claim`](crate::Queue::claim)
    QueueClaim = "queue.claim", ByCaller;
    /// [`Queue::extend`](crate::Queue::extend)
    QueueExtend = "queue.extend", Idempotent;
    /// [`Queue::settle`](crate::Queue::settle)
    QueueSettle = "queue.settle", Idempotent;
    /// [`Waiter::next`](crate::Waiter::next)
    QueueWait = "queue.wait", Never;

    /// [`QueueInspect::counts`](crate::QueueInspect::counts)
    QueueCounts = "queue.counts", Reads;
    /// [`QueueInspect::get`](crate::QueueInspect::get)
    QueueGet = "queue.get", Reads;
    /// [`QueueInspect::list`](crate::QueueInspect::list)
    QueueList = "queue.list", Reads;
    /// [`QueueInspect::explain`](crate::QueueInspect::explain)
    QueueExplain = "queue.explain", Reads;

    /// [`QueueControl::cancel`](crate::QueueControl::cancel)
    QueueCancel = "queue.cancel", Idempotent;
    /// [`QueueControl::replay`](crate::QueueControl::replay)
    QueueReplay = "queue.replay", Idempotent;
    /// [`QueueControl::delete`](crate::QueueControl::delete)
    QueueDelete = "queue.delete", Idempotent;
    /// [`QueueControl::promote`](crate::QueueControl::promote)
    QueuePromote = "queue.promote", Idempotent;
    /// [`QueueControl::pause`](crate::QueueControl::pause)
    QueuePause = "queue.pause", Idempotent;
    /// [`QueueControl::resume`](crate::QueueControl::resume)
    QueueResume = "queue.resume", Idempotent;

    /// [`Leases::acquire`](crate::Leases::acquire)
    LeaseAcquire = "lease.acquire", Idempotent;
    /// [`Leases::renew`](crate::Leases::renew)
    LeaseRenew = "lease.renew", Idempotent;
    /// [`Leases::release`](crate::Leases::release)
    LeaseRelease = "lease.release", Idempotent;
    /// [`Leases::inspect`](crate::Leases::inspect)
    LeaseInspect = "lease.inspect", Reads;

    /// [`Heartbeats::beat`](crate::Heartbeats::beat)
    HeartbeatBeat = "heartbeat.beat", Idempotent;
    /// [`Heartbeats::leave`](crate::Heartbeats::leave)
    HeartbeatLeave = "heartbeat.leave", Idempotent;
    /// [`Heartbeats::alive`](crate::Heartbeats::alive)
    HeartbeatAlive = "heartbeat.alive", Reads;
    /// [`Heartbeats::lost`](crate::Heartbeats::lost)
    HeartbeatLost = "heartbeat.lost", Reads;

    /// [`ResumeTokens::save`](crate::ResumeTokens::save)
    ResumeTokenSave = "resume_token.save", Idempotent;
    /// [`ResumeTokens::take_over`](crate::ResumeTokens::take_over)
    ResumeTokenTakeOver = "resume_token.take_over", Idempotent;
    /// [`ResumeTokens::load`](crate::ResumeTokens::load)
    ResumeTokenLoad = "resume_token.load", Reads;
    /// [`ResumeTokens::clear`](crate::ResumeTokens::clear)
    ResumeTokenClear = "resume_token.clear", Idempotent;
    /// [`ResumeTokens::tokens`](crate::ResumeTokens::tokens)
    ResumeTokenTokens = "resume_token.tokens", Reads;
    /// [`Steps::begin`](crate::Steps::begin)
    StepBegin = "step.begin", Idempotent;
    /// [`Steps::finish`](crate::Steps::finish)
    StepFinish = "step.finish", Idempotent;
    /// [`Steps::fail`](crate::Steps::fail)
    StepFail = "step.fail", Idempotent;
    /// [`Steps::sleep`](crate::Steps::sleep)
    StepSleep = "step.sleep", Idempotent;
    /// [`Steps::get`](crate::Steps::get)
    StepGet = "step.get", Reads;
    /// [`Steps::list`](crate::Steps::list)
    StepList = "step.list", Reads;
    /// [`Runs::create`](crate::Runs::create)
    RunCreate = "run.create", Idempotent;
    /// [`Runs::write`](crate::Runs::write)
    RunWrite = "run.write", Idempotent;
    /// [`Runs::get`](crate::Runs::get)
    RunGet = "run.get", Reads;
    /// [`Runs::events`](crate::Runs::events)
    RunEvents = "run.events", Reads;
    /// [`Runs::list`](crate::Runs::list)
    RunList = "run.list", Reads;
    /// [`Runs::delete`](crate::Runs::delete)
    RunDelete = "run.delete", Idempotent;
    /// [`Runs::sweep`](crate::Runs::sweep)
    RunSweep = "run.sweep", Idempotent;
    /// [`Runs::clear`](crate::Runs::clear)
    RunClear = "run.clear", Idempotent;
    /// [`Sessions::save`](crate::Sessions::save)
    SessionSave = "session.save", Idempotent;
    /// [`Sessions::get`](crate::Sessions::get)
    SessionGet = "session.get", Reads;
    /// [`Sessions::list`](crate::Sessions::list)
    SessionList = "session.list", Reads;
    /// [`Sessions::delete`](crate::Sessions::delete)
    SessionDelete = "session.delete", Idempotent;
    /// [`Sessions::sweep`](crate::Sessions::sweep)
    SessionSweep = "session.sweep", Idempotent;
    /// [`Sessions::clear`](crate::Sessions::clear)
    SessionClear = "session.clear", Idempotent;
    /// [`Retries::begin`](crate::Retries::begin)
    RetryBegin = "retry.begin", Idempotent;
    /// [`Retries::fail`](crate::Retries::fail)
    RetryFail = "retry.fail", Idempotent;
    /// [`Retries::succeed`](crate::Retries::succeed)
    RetrySucceed = "retry.succeed", Idempotent;
    /// [`Retries::get`](crate::Retries::get)
    RetryGet = "retry.get", Reads;
    /// [`Retries::clear`](crate::Retries::clear)
    RetryClear = "retry.clear", Idempotent;
    /// [`Retries::list`](crate::Retries::list)
    RetryList = "retry.list", Reads;

    /// [`Schedules::put`](crate::Schedules::put)
    SchedulePut = "schedule.put", Idempotent;
    /// [`Schedules::get`](crate::Schedules::get)
    ScheduleGet = "schedule.get", Reads;
    /// [`Schedules::list`](crate::Schedules::list)
    ScheduleList = "schedule.list", Reads;
    /// [`Schedules::delete`](crate::Schedules::delete)
    ScheduleDelete = "schedule.delete", Idempotent;
    /// [`Schedules::pause`](crate::Schedules::pause)
    SchedulePause = "schedule.pause", Idempotent;
    /// [`Schedules::resume`](crate::Schedules::resume)
    ScheduleResume = "schedule.resume", Idempotent;
    /// [`Schedules::due`](crate::Schedules::due)
    ScheduleDue = "schedule.due", Reads;
    /// [`Schedules::advance`](crate::Schedules::advance)
    ScheduleAdvance = "schedule.advance", Idempotent;

    /// [`Home::commit`](crate::Home::commit)
    HomeCommit = "home.commit", Idempotent;
    /// [`Homes::deliver`](crate::Homes::deliver)
    HomeDeliver = "home.deliver", Idempotent;

    /// [`Topics::declare`](crate::Topics::declare)
    TopicDeclare = "topic.declare", Idempotent;
    /// [`Topics::append`](crate::Topics::append)
    TopicAppend = "topic.append", Idempotent;
    /// [`Topics::read`](crate::Topics::read)
    TopicRead = "topic.read", Idempotent;
    /// [`Topics::acknowledge`](crate::Topics::acknowledge)
    TopicAcknowledge = "topic.acknowledge", Idempotent;
    /// [`Topics::release`](crate::Topics::release)
    TopicRelease = "topic.release", Idempotent;
    /// [`Topics::seek`](crate::Topics::seek)
    TopicSeek = "topic.seek", Idempotent;
    /// [`Topics::inspect`](crate::Topics::inspect)
    TopicInspect = "topic.inspect", Reads;
    /// [`Topics::remove_group`](crate::Topics::remove_group)
    TopicRemoveGroup = "topic.remove_group", Idempotent;

    /// [`Broadcasts::publish`](crate::Broadcasts::publish)
    BroadcastPublish = "broadcast.publish", Idempotent;
    /// [`Broadcasts::listen`](crate::Broadcasts::listen)
    BroadcastListen = "broadcast.listen", Reads;

    /// [`Inventory::queues`](crate::Inventory::queues)
    InventoryQueues = "inventory.queues", Reads;
    /// [`Inventory::leases`](crate::Inventory::leases)
    InventoryLeases = "inventory.leases", Reads;
    /// [`Inventory::pools`](crate::Inventory::pools)
    InventoryPools = "inventory.pools", Reads;
    /// [`Inventory::declared_topics`](crate::Inventory::declared_topics)
    InventoryDeclaredTopics = "inventory.declared_topics", Reads;
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Op, Repeat};

    #[test]
    fn names_are_unique_and_have_a_capability_and_a_verb() {
        let mut names: Vec<_> = Op::ALL.iter().map(|op| op.name()).collect();
        assert!(names.iter().all(|name| name.split('.').count() == 2));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Op::ALL.len());
    }

    #[test]
    fn counting_operations_are_never_repeated() {
        for op in [Op::RateLimitCheck, Op::KeyValueAdd] {
            assert_eq!(op.repeat(), Repeat::Never);
        }
        assert_eq!(Op::QueueClaim.repeat(), Repeat::ByCaller);
    }
}
