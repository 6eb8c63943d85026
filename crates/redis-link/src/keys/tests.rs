use std::collections::BTreeSet;

use store_core::{
    BroadcastName, HandleKind, HandleName, Key, LeaseName, Namespace, PoolName, QueueName, Scope, ServiceName,
    StreamName,
};

use super::{QueueKeys, broadcast_channel, lease};

#[test]
fn one_tag_per_partition() {
    let keys = QueueKeys::new(&Namespace::new("tw").unwrap(), &QueueName::new("email").unwrap(), 0, 1);
    assert_eq!(keys.ready[2], "tw:{q.email.0}:ready2");
    assert_eq!(keys.jobs, "tw:{q.email.0}:jobs");
    assert_eq!(keys.call(255), "tw:{q.email.0}:call:00000000000000ff");
}

#[test]
fn an_outbox_has_the_tags_of_its_queue_and_other_keys() {
    let (namespace, queue) = (Namespace::new("tw").unwrap(), QueueName::new("email").unwrap());
    for (partition, of) in [(0, 1), (3, 12)] {
        let [own, outbox] = [&queue, &queue.outbox()].map(|queue| QueueKeys::new(&namespace, queue, partition, of));
        assert_eq!(super::tag_of(outbox.jobs.as_bytes()), super::tag_of(own.jobs.as_bytes()));
        assert_eq!(outbox.wake_channel("tw:wake:a"), own.wake_channel("tw:wake:a"));
        for key in [&outbox.jobs, &outbox.meta] {
            assert_eq!(super::queue_of(&namespace, key), Some(queue.outbox()));
        }
        for key in [&outbox.waiters, &outbox.call(0)] {
            assert_eq!(super::queue_of(&namespace, key), None);
        }
    }
    let keys = QueueKeys::new(&namespace, &queue.outbox(), 0, 1);
    assert_eq!(keys.ready[2], "tw:{q.email.0}:outbox:ready2");
    assert_eq!(keys.call(255), "tw:{q.email.0}:outbox:call:00000000000000ff");
    assert_eq!(super::queue_of(&namespace, "tw:{q.email~outbox.0}:jobs"), None);
}

#[test]
fn partitions_are_spread_over_the_slots() {
    assert_eq!(super::slot(b"123456789"), 0x31c3);
    for key in ["123456789", "a{123456789}b", "{123456789}}{c}"] {
        assert_eq!(super::slot_of(key.as_bytes()), 0x31c3, "{key}");
    }
    assert_eq!(super::slot_of(b"a{}{b}"), super::slot(b"a{}{b}"));
    let queue = QueueName::new("email").unwrap();
    for of in [2, 12, 1024] {
        for partition in 0..of {
            let slot = u32::from(super::slot(super::partition_tag(&format!("q.{queue}"), partition, of).as_bytes()));
            assert_eq!(slot * u32::from(of) / 16_384, u32::from(partition));
        }
    }
}

#[test]
fn the_service_stands_before_the_tag_unless_the_key_is_shared() {
    let (namespace, name) = (Namespace::new("tw").unwrap(), LeaseName::new("leader").unwrap());
    let billing = Scope::from(ServiceName::new("billing").unwrap());
    assert_eq!(lease(&namespace, &billing, &name), "tw:billing:{l.leader}:lease");
    assert_eq!(lease(&namespace, &Scope::Shared, &name), "tw:{l.leader}:lease");
    assert!(Namespace::new("tw:billing").is_err(), "it would share the keys of the service");
}

#[test]
fn a_name_is_read_from_its_key() {
    let namespace = Namespace::new("tw").unwrap();
    let queue = QueueName::new("mail.eu:1").unwrap();
    for (partition, of) in [(0, 1), (0, 12), (11, 12), (1023, 1024)] {
        let keys = QueueKeys::new(&namespace, &queue, partition, of);
        for key in [&keys.jobs, &keys.meta] {
            assert_eq!(super::queue_of(&namespace, key), Some(queue.clone()));
        }
        assert_eq!(super::queue_of(&namespace, &keys.waiters), None);
    }
    let keys = QueueKeys::new(&namespace, &queue, 0, 1);
    assert_eq!(super::queue_of(&Namespace::new("t").unwrap(), &keys.jobs), None);
    for scope in [Scope::Shared, Scope::from(ServiceName::new("a:b").unwrap())] {
        let (name, pool) = (LeaseName::new("x:y/z").unwrap(), PoolName::new("p").unwrap());
        let key = lease(&namespace, &scope, &name);
        assert_eq!(super::lease_of(&namespace, &key), Some((scope.clone(), name)));
        assert_eq!(super::pool_of(&namespace, &key), None);
        let key = super::PoolKeys::new(&namespace, &scope, &pool).details;
        assert_eq!(super::pool_of(&namespace, &key), Some((scope, pool)));
    }
}

#[test]
fn a_stream_is_read_from_the_key_of_its_token() {
    let (namespace, stream) = (Namespace::new("tw").unwrap(), StreamName::new("shop.orders*$ 1").unwrap());
    let key = super::resume_token(&namespace, &stream);
    assert_eq!(key, "tw:{t.shop.orders*$ 1}:token");
    assert_eq!(super::stream_of(&namespace, &key), Some(stream));
    assert_eq!(super::stream_of(&Namespace::new("t").unwrap(), &key), None);
    assert_eq!(super::stream_of(&namespace, "tw:{t.a}:token:{b}:token"), None);
}

#[test]
fn the_channel_of_broadcasts_has_the_slot_of_its_tag() {
    let name = BroadcastName::new("configuration").unwrap();
    let channel = broadcast_channel(&Namespace::new("tw").unwrap(), &name);
    assert_eq!(channel, "tw:wake:{b.configuration}");
    assert_eq!(super::slot_of(channel.as_bytes()), super::slot(b"b.configuration"));
}

#[test]
fn each_request_of_a_typed_operation_has_its_own_slot() {
    let (namespace, payments) = (Namespace::new("tw").unwrap(), HandleName::new("payments").unwrap());
    let key = |key: &Key| super::state_idempotency(&namespace, &Scope::Shared, key);
    let of_handle = |order: &str| key(&HandleKind::Operations.key(&payments, &Key::new(order).unwrap()));
    assert_eq!(of_handle("order:7"), "tw:{i.%7Boperations.payments%7D:order:7}:idempotency");
    let slots: BTreeSet<u16> = (0..100).map(|order| super::slot_of(of_handle(&order.to_string()).as_bytes())).collect();
    assert!(slots.len() > 90, "{slots:?}");
    let plain = ["%7Boperations.payments%7D:1", "%257Boperations.payments%257D:1", "operations.payments:1", "1"];
    let mut keys: BTreeSet<String> = plain.iter().map(|plain| key(&Key::new(*plain).unwrap())).collect();
    keys.extend(["1", "%", "%25", "%7D:1"].map(of_handle));
    assert_eq!(keys.len(), 8);
    for key in keys {
        let tag = String::from_utf8(super::tag_of(key.as_bytes()).to_vec()).unwrap();
        assert_eq!(key, format!("tw:{{{tag}}}:idempotency"));
    }
}
