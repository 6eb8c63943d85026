//! Ten thousand dead jobs.

use std::collections::BTreeSet;
use std::time::Duration;

use store_core::{NewJob, Outcome, QueueControl, QueueExt, QueueInspect, Settled};
use testkit::{FaultProxy, Program, mentions, wait_until};

use crate::fixture::{Fixture, claim, id, kill, objects, queue, with_variables};

const JOBS: usize = 10_000;

#[tokio::test]
async fn ten_thousand_dead_jobs_are_listed_and_replayed() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    kill(&store, "mails", JOBS - 10, "no such mailbox").await;
    kill(&store, "sms", 10, "no such number").await;

    let exit = fixture.run("dead --json").await;
    let jobs = objects(&exit);
    assert_eq!((exit.code, jobs.len()), (Some(0), JOBS));
    let ids: BTreeSet<&str> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), JOBS);
    let is_mail = |job: &&serde_json::Value| job["queue"] == "mails";
    assert_eq!(jobs.iter().filter(is_mail).count(), JOBS - 10);
    assert!(jobs.iter().filter(is_mail).all(|job| job["reason"] == "no such mailbox" && job["attempts"] == 1));
    let (_, of_sms) = fixture.json("dead sms").await;
    assert_eq!(of_sms.len(), 10);

    // a reader that ends early is no error, and no panic
    let line = format!("{} dead --json | head -n 1; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_twinstore"));
    let bash = variables_of(&fixture, &fixture.state.url(None), Program::new("bash").args(["-c", &line]));
    let exit = bash.run().await.unwrap();
    assert_eq!((exit.code, exit.stdout.lines().count(), exit.stderr.as_str()), (Some(0), 1, ""), "{exit:?}");

    let (code, dry) = fixture.json("replay --all").await;
    assert_eq!((code, dry.len(), &dry[0]["dead"], &dry[0]["replayed"]), (Some(0), 2, &9990.into(), &0.into()));
    assert_eq!(store.counts(&queue("mails")).await.unwrap().dead, 9990);

    let (code, done) = fixture.json("replay --all --write").await;
    assert_eq!((code, done.len()), (Some(0), 2));
    assert!(done.iter().all(|row| row["replayed"] == row["dead"] && row["written"] == true), "{done:?}");
    for (name, count) in [("mails", 9990), ("sms", 10)] {
        let counts = store.counts(&queue(name)).await.unwrap();
        assert_eq!((counts.ready, counts.dead), (count, 0), "{name}");
    }
    assert_eq!(fixture.json("dead").await, (Some(0), vec![]));
}

#[tokio::test]
async fn an_outbox_is_listed_and_replayed_as_a_queue() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    kill(&store, "mails~outbox", 2, "no such topic").await;
    let (code, queues) = fixture.json("queues").await;
    // An outbox has the partitions of its queue, so the first entry records the queue.
    assert_eq!((code, queues.len()), (Some(0), 2), "{queues:?}");
    for (row, (name, dead)) in queues.iter().zip([("mails", 0), ("mails~outbox", 2)]) {
        assert_eq!((&row["queue"], &row["dead"]), (&name.into(), &dead.into()), "{queues:?}");
    }
    let (code, dead) = fixture.json("dead mails~outbox").await;
    assert_eq!((code, dead.len(), &dead[0]["reason"]), (Some(0), 2, &"no such topic".into()));
    assert_eq!(fixture.run("pause mails~outbox --write").await.code, Some(0));
    assert_eq!(fixture.run("replay --all --write").await.code, Some(0));
    let counts = store.counts(&queue("mails~outbox")).await.unwrap();
    assert_eq!((counts.ready, counts.dead, counts.paused), (2, 0, true));
}

#[tokio::test]
async fn a_replay_shows_its_progress_on_a_terminal() {
    let fixture = Fixture::start().await;
    kill(&fixture.store().await, "mails", 3000, "no such mailbox").await;
    let proxy = FaultProxy::start(fixture.state.address()).await.unwrap();
    proxy.delay(Duration::from_millis(10)).await;

    let line = format!("stty rows 24 cols 120; {} replay --all --write", env!("CARGO_BIN_EXE_twinstore"));
    let terminal = Program::new("script").args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
    let terminal = variables_of(&fixture, &fixture.state.url_through(&proxy, None), terminal);
    let exit = terminal.run().await.expect("`script` makes the terminal: apt-get install bsdutils");
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("replaying") && exit.stdout.contains("2000/3000"), "{exit:?}");
    assert!(exit.stdout.contains("REPLAYED"), "{exit:?}");
}

/// The link repeats the call, and the store returns what the first copy has done.
#[tokio::test]
async fn a_replay_whose_reply_is_lost_counts_the_jobs_that_are_ready_again() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    let marked = NewJob::new("").with_id(id("marked-job"));
    store.push_one(&queue("mails"), marked).await.unwrap();
    let job = claim(&store, "mails", 1).await.remove(0);
    let outcome = Outcome::Dead { reason: "no such mailbox".to_owned() };
    assert_eq!(store.settle_one(&queue("mails"), job.lease, outcome).await.unwrap(), Settled::Done);
    // the server knows the script
    store.replay(&queue("mails"), &[id("nobody")]).await.unwrap();
    let proxy = FaultProxy::start(fixture.state.address()).await.unwrap();
    proxy.cut_after_request(mentions("marked-job"));

    let command = with_variables(&fixture.cache.url(None), &fixture.state.url_through(&proxy, None));
    let exit = command.args(["replay", "--all", "--write", "--json"]).run().await.unwrap();
    let counts = store.counts(&queue("mails")).await.unwrap();
    assert_eq!((proxy.fired(), counts.ready, counts.dead), (1, 1, 0));
    let row = &objects(&exit)[0];
    assert_eq!((&row["replayed"], &row["not_dead"]), (&1.into(), &0.into()), "{exit:?}");
    assert_eq!(exit.code, Some(0), "{exit:?}");
}

/// A program that starts the command, with the variables of a service and the path of this process.
fn variables_of(fixture: &Fixture, state: &str, program: Program) -> Program {
    program
        .env("PATH", std::env::var("PATH").unwrap())
        .env("TERM", "xterm")
        .env("SERVICE_NAME", "billing")
        .env("REDIS_CONN_BASE_URL", fixture.cache.url(None))
        .env("REDIS_CACHE_DB", "1")
        .env("REDIS_WORKERCACHE_CONN_URL", state)
}

#[tokio::test]
async fn ctrl_c_ends_a_replay_between_two_calls_and_the_next_run_replays_the_rest() {
    let fixture = Fixture::start().await;
    let store = fixture.store().await;
    kill(&store, "mails", 4000, "no such mailbox").await;
    let proxy = FaultProxy::start(fixture.state.address()).await.unwrap();
    proxy.delay(Duration::from_millis(20)).await;

    let through_proxy = with_variables(&fixture.cache.url(None), &fixture.state.url_through(&proxy, None));
    let mut running = through_proxy.args(["replay", "mails", "--all", "--write"]).start().unwrap();
    wait_until("the replay begins", testkit::DEADLINE, async || {
        store.counts(&queue("mails")).await.unwrap().dead < 4000
    })
    .await;
    running.interrupt().unwrap();
    let exit = running.wait_exit(testkit::DEADLINE).await;
    let counts = store.counts(&queue("mails")).await.unwrap();
    assert!(counts.dead > 0 && counts.ready + counts.dead == 4000, "{counts:?}");
    assert_eq!(exit.code, Some(130), "{exit:?}");
    assert!(exit.stderr.contains(&format!("replayed {} of 4000 jobs", counts.ready)), "{exit:?}");

    let (code, rest) = fixture.json("replay mails --all --write").await;
    assert_eq!((code, rest[0]["replayed"].as_u64()), (Some(0), Some(counts.dead)));
    assert_eq!(store.counts(&queue("mails")).await.unwrap().ready, 4000);
}
