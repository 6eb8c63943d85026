//! Subscriptions on real servers.

use std::time::{Duration, Instant};

use redis_link::{Channel, Event, Link, Subscription};
use testkit::{DEADLINE, FaultProxy, RedisServer};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{config, eventually, link_to, server};

/// A subscription, and its events in order.
pub(crate) struct Heard {
    events: UnboundedReceiver<Event>,
    _subscription: Subscription,
}

impl Heard {
    /// The next event; `None` after the link was closed.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

pub(crate) fn hear(link: &Link, channel: Channel) -> Heard {
    let (sender, events) = unbounded_channel();
    Heard { events, _subscription: link.subscribe(channel, move |event| drop(sender.send(event))) }
}

/// The next event, which must come soon.
pub(crate) async fn next(heard: &mut Heard) -> Option<Event> {
    tokio::time::timeout(DEADLINE, heard.next()).await.expect("an event comes in time")
}

async fn subscribed(link: &Link, channel: &str) -> Heard {
    let mut heard = hear(link, Channel::plain(channel));
    assert_eq!(next(&mut heard).await, Some(Event::Subscribed));
    heard
}

/// How many subscribers have received it.
async fn publish(server: &RedisServer, channel: &str, message: impl AsRef<[u8]>) -> i64 {
    let reply = server.command(&[b"PUBLISH", channel.as_bytes(), message.as_ref()]).await.unwrap();
    reply.as_integer().unwrap()
}

fn message(bytes: impl AsRef<[u8]>) -> Option<Event> {
    Some(Event::Message(bytes.as_ref().to_vec().into()))
}

async fn subscribers(server: &RedisServer, channel: &str) -> i64 {
    let reply = server.command(&["PUBSUB", "NUMSUB", channel]).await.unwrap();
    reply.as_array().unwrap()[1].as_integer().unwrap()
}

/// With RESP3, with RESP2 only, and with a password, with which a connection begins in RESP2.
async fn servers() -> Vec<(RedisServer, Link)> {
    let resp2 = || RedisServer::builder().config("rename-command", "HELLO \"\"");
    let builders =
        [RedisServer::builder(), resp2(), RedisServer::builder().password("secret"), resp2().password("secret")];
    let mut opened = Vec::new();
    for builder in builders {
        let server = builder.start().await.unwrap();
        let link = link_to(&server).await;
        opened.push((server, link));
    }
    opened
}

#[tokio::test]
async fn messages_arrive_in_order_and_unchanged() {
    let binary: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    let hostile: [&[u8]; 14] = [
        b"plain",
        b"",
        b"message",
        b"subscribe",
        b"unsubscribe",
        b"invalidate",
        b"123",
        b"-NOPERM no",
        b"+OK",
        b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
        b">3\r\n$9\r\nsubscribe\r\n",
        b"\xff\xfe\x00\r\n",
        b"\r\n\r\n",
        &binary,
    ];
    for (server, link) in servers().await {
        let mut subscription = subscribed(&link, "tw:wake:a").await;
        for sent in hostile {
            assert_eq!(publish(&server, "tw:wake:a", sent).await, 1);
        }
        for sent in hostile {
            assert_eq!(next(&mut subscription).await, message(sent));
        }
        // The connection is still in order: the check that follows a subscription is answered.
        let mut other = subscribed(&link, "tw:wake:b").await;
        publish(&server, "tw:wake:b", "last").await;
        assert_eq!(next(&mut other).await, message("last"));
        link.ping().await.unwrap();
    }
}

#[tokio::test]
async fn subscriptions_share_one_connection_and_each_gets_the_messages_of_its_channel() {
    let server = server().await;
    let link = Link::connect(config(&server.url(None)).with_pool_size(1)).await.unwrap();
    let clients = async || server.info("clients").await.unwrap()["connected_clients"].clone();
    let before: u32 = clients().await.parse().unwrap();
    let mut one = subscribed(&link, "tw:wake:1").await;
    let mut same = subscribed(&link.clone(), "tw:wake:1").await;
    let mut two = subscribed(&link, "tw:wake:2").await;
    assert_eq!(clients().await, (before + 1).to_string());
    for (channel, text) in [("tw:wake:2", "for two"), ("tw:wake:1", "for one"), ("tw:wake:10", "for none")] {
        publish(&server, channel, text).await;
    }
    assert_eq!(next(&mut two).await, message("for two"));
    assert_eq!(next(&mut one).await, message("for one"));
    assert_eq!(next(&mut same).await, message("for one"));
    publish(&server, "tw:wake:1", "again").await;
    assert_eq!(next(&mut one).await, message("again"));
}

#[tokio::test]
async fn a_dropped_subscription_is_unsubscribed_and_the_last_one_closes_the_connection() {
    for (server, link) in servers().await {
        let one = subscribed(&link, "tw:wake:1").await;
        let mut two = subscribed(&link, "tw:wake:2").await;
        drop(one);
        eventually("the first is unsubscribed", async || subscribers(&server, "tw:wake:1").await == 0).await;
        publish(&server, "tw:wake:2", "kept").await;
        assert_eq!(next(&mut two).await, message("kept"));
        drop(two);
        let pubsub_clients = async || {
            let list = server.command(&["CLIENT", "LIST", "TYPE", "PUBSUB"]).await.unwrap();
            list.as_str().unwrap().lines().filter(|line| !line.is_empty()).count()
        };
        eventually("the connection is closed", async || pubsub_clients().await == 0).await;
        let mut three = subscribed(&link, "tw:wake:3").await;
        publish(&server, "tw:wake:3", "again").await;
        assert_eq!(next(&mut three).await, message("again"));
    }
}

#[tokio::test]
async fn a_killed_connection_is_subscribed_again_and_reported() {
    for (server, link) in servers().await {
        let mut subscription = subscribed(&link, "tw:wake:a").await;
        publish(&server, "tw:wake:a", "before").await;
        for round in 0..3 {
            server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap();
            if round == 0 {
                assert_eq!(next(&mut subscription).await, message("before"), "what has arrived is not lost");
            }
            assert_eq!(next(&mut subscription).await, Some(Event::Subscribed));
            assert_eq!(publish(&server, "tw:wake:a", "after").await, 1);
            assert_eq!(next(&mut subscription).await, message("after"));
        }
    }
}

#[tokio::test]
async fn a_restarted_server_is_subscribed_again() {
    let server = server().await;
    let link = link_to(&server).await;
    let mut subscription = subscribed(&link, "tw:wake:a").await;
    server.kill().await;
    server.start_again().await.unwrap();
    assert_eq!(next(&mut subscription).await, Some(Event::Subscribed));
    publish(&server, "tw:wake:a", "after").await;
    assert_eq!(next(&mut subscription).await, message("after"));
}

/// The client library drops the oldest messages without a word to a reader that has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_listener_learns_that_it_has_missed_messages() {
    let server = server().await;
    let link = link_to(&server).await;
    let ((sender, mut events), (release, held)) = (unbounded_channel(), std::sync::mpsc::channel::<()>());
    let held = std::sync::Mutex::new(held);
    let _subscription = link.subscribe(Channel::plain("tw:wake:a"), move |event| {
        let is_message = matches!(event, Event::Message(_));
        let _ = sender.send(event);
        if is_message {
            let _ = tokio::task::block_in_place(|| held.lock().unwrap().recv());
        }
    });
    assert_eq!(events.recv().await, Some(Event::Subscribed));
    let mut connection = server.connect().await.unwrap();
    for number in 0..3000 {
        connection.command(&["PUBLISH", "tw:wake:a", &number.to_string()]).await.unwrap();
    }
    assert_eq!(events.recv().await, message("0"));
    drop(release);
    assert_eq!(events.recv().await, Some(Event::Subscribed));
    let mut kept = Vec::new();
    while let Some(Event::Message(bytes)) = events.recv().await {
        kept.push(std::str::from_utf8(&bytes).unwrap().parse::<usize>().unwrap());
        if kept.last() == Some(&2999) {
            break;
        }
    }
    assert!(kept.is_sorted(), "from {:?}", kept.first());
}

/// The process stands still, and the server cuts its connection when 32 MiB wait for it.
#[tokio::test]
async fn a_process_that_stood_still_learns_that_it_has_missed_messages() {
    let server = server().await;
    let link = link_to(&server).await;
    let mut subscription = subscribed(&link, "tw:wake:a").await;
    // Blocks the one thread of this runtime.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // Valkey 9.1 does not count large messages (64 KiB) towards the bound of a client: its buffers share them.
            let (large, is_cut) = (vec![7; 8 * 1024], async || publish(&server, "tw:wake:a", "").await == 0);
            runtime.block_on(async {
                let mut connection = server.connect().await.unwrap();
                eventually("the server cuts the connection", async || {
                    for _ in 0..800 {
                        connection.command(&[&b"PUBLISH"[..], b"tw:wake:a", &large]).await.unwrap();
                    }
                    is_cut().await
                })
                .await;
            });
        });
    });
    let mut received = 0;
    while next(&mut subscription).await != Some(Event::Subscribed) {
        received += 1;
    }
    assert!(received <= 1024, "{received}");
    eventually("it is subscribed again", async || publish(&server, "tw:wake:a", "after").await == 1).await;
    while next(&mut subscription).await != message("after") {}
}

/// A stopped server keeps its connections open. The link closes the one that does not answer, and subscribes again.
#[tokio::test]
async fn a_server_that_stands_still_is_noticed_and_subscribed_again() {
    let server = server().await;
    let link = Link::connect(config(&server.url(None)).with_command_timeout(Duration::from_millis(500))).await.unwrap();
    let mut subscription = subscribed(&link, "tw:wake:a").await;
    server.pause().unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(12), subscription.next()).await.is_err(), "it stands still");
    server.resume().unwrap();
    assert_eq!(next(&mut subscription).await, Some(Event::Subscribed));
    eventually("only the new connection is subscribed", async || subscribers(&server, "tw:wake:a").await == 1).await;
    publish(&server, "tw:wake:a", "after").await;
    assert_eq!(next(&mut subscription).await, message("after"));
}

/// The server has closed its side, and the network has lost the news.
#[tokio::test]
async fn a_half_open_connection_is_noticed_and_replaced() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let config = config(&server.url_through(&proxy, None)).with_command_timeout(Duration::from_millis(500));
    let link = Link::connect(config).await.unwrap();
    let mut subscription = subscribed(&link, "tw:wake:a").await;
    let begun = Instant::now();
    proxy.half_open();
    eventually("the server has lost it", async || subscribers(&server, "tw:wake:a").await == 0).await;
    assert_eq!(next(&mut subscription).await, Some(Event::Subscribed));
    // 10 s and two command time-outs; and 2 s for the new connection
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
    publish(&server, "tw:wake:a", "after").await;
    assert_eq!(next(&mut subscription).await, message("after"));
}

/// Subscriptions begin and end all the while, but the server is asked for none of them: it has the channel already.
#[tokio::test]
async fn a_half_open_connection_is_noticed_while_subscriptions_change() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let config = config(&server.url_through(&proxy, None)).with_command_timeout(Duration::from_millis(500));
    let link = Link::connect(config).await.unwrap();
    let mut subscription = subscribed(&link, "tw:wake:a").await;
    proxy.half_open();
    eventually("the server has lost it", async || subscribers(&server, "tw:wake:a").await == 0).await;
    let mut again = None;
    eventually("the connection is replaced", async || {
        drop(subscribed(&link, "tw:wake:a").await);
        again = tokio::time::timeout(Duration::from_millis(100), subscription.next()).await.ok().flatten();
        again.is_some()
    })
    .await;
    assert_eq!(again, Some(Event::Subscribed));
    publish(&server, "tw:wake:a", "after").await;
    assert_eq!(next(&mut subscription).await, message("after"));
}

#[tokio::test]
async fn a_refused_subscription_is_tried_again() {
    let server = RedisServer::builder().acl_user("app", "secret", "~* &tw:wake:* +@all").start().await.unwrap();
    let link = Link::connect(config(&server.user_url("app", "secret"))).await.unwrap();
    let mut allowed = subscribed(&link, "tw:wake:a").await;
    let mut refused = hear(&link, Channel::plain("other"));
    assert!(tokio::time::timeout(Duration::from_millis(300), refused.next()).await.is_err());
    server.command(&["ACL", "SETUSER", "app", "&other"]).await.unwrap();
    assert_eq!(next(&mut refused).await, Some(Event::Subscribed));
    assert_eq!(publish(&server, "other", "now").await, 1);
    assert_eq!(next(&mut refused).await, message("now"));
    assert_eq!(next(&mut allowed).await, Some(Event::Subscribed));
    publish(&server, "tw:wake:a", "still").await;
    assert_eq!(next(&mut allowed).await, message("still"));
}

#[tokio::test]
async fn a_closed_link_ends_its_subscriptions() {
    let server = server().await;
    let link = link_to(&server).await;
    let mut subscription = subscribed(&link, "tw:wake:a").await;
    let waiting = tokio::spawn(async move {
        let last = subscription.next().await;
        (last, subscription.next().await)
    });
    link.close().await;
    assert_eq!(waiting.await.unwrap(), (None, None));
    assert_eq!(next(&mut hear(&link, Channel::plain("tw:wake:b"))).await, None);
    eventually("its connection is closed", async || subscribers(&server, "tw:wake:a").await == 0).await;
}

/// A dropped wait loses no message.
#[tokio::test]
async fn a_wait_can_be_given_up_and_begun_again() {
    let server = server().await;
    let link = link_to(&server).await;
    let mut subscription = subscribed(&link, "tw:wake:a").await;
    for number in 0..20 {
        let text = number.to_string();
        let waited = async {
            let _ = tokio::time::timeout(Duration::from_micros(50 * number), subscription.next()).await;
        };
        waited.await;
        publish(&server, "tw:wake:a", &text).await;
        assert_eq!(next(&mut subscription).await, message(&text));
    }
}

/// The client library drops a refusal that arrives before the next command is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_subscription_that_is_refused_is_never_confirmed() {
    let server = RedisServer::builder().acl_user("app", "p", "~* resetchannels +@all").start().await.unwrap();
    let url = server.url(None).replace("redis://", "redis://app:p@");
    let mut subscribing = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let url = url.clone();
        subscribing.spawn(async move {
            let link = Link::connect(config(&url)).await.unwrap();
            let mut heard = hear(&link, Channel::plain("c"));
            tokio::time::timeout(Duration::from_secs(2), heard.next()).await
        });
    }
    let confirmed = subscribing.join_all().await.into_iter().filter(Result::is_ok).count();
    assert_eq!(confirmed, 0);
}
