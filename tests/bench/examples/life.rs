use std::process::Command;
use std::time::Duration;
use store_core::{Claim, ClaimRequest, Durability, HolderName, NewJob, Outcome, Queue, Settlement};
fn cpu(port: &str) -> f64 {
    let out = Command::new("redis-cli").args(["-p", port, "info", "cpu"]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines()
        .filter(|l| l.starts_with("used_cpu_sys:") || l.starts_with("used_cpu_user:"))
        .map(|l| l.split(':').nth(1).unwrap().trim().parse::<f64>().unwrap())
        .sum::<f64>()
        * 1e6
}
fn stats(port: &str) -> String {
    let out = Command::new("redis-cli").args(["-p", port, "info", "commandstats"]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    Command::new("redis-cli").args(["-p", port, "config", "resetstat"]).output().unwrap();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|l| l.starts_with("cmdstat") && !l.contains("info") && !l.contains("config"))
        .map(|l| {
            let name = l[8..].split(':').next().unwrap().to_string();
            let get = |k: &str| l.split(k).nth(1).unwrap().split(',').next().unwrap().to_string();
            format!("{name} {}x{}", get("calls="), get("usec_per_call="))
        })
        .collect();
    lines.sort();
    lines.join("  ")
}
#[tokio::main]
async fn main() {
    let port = std::env::args().nth(1).unwrap();
    let push: usize = std::env::args().nth(2).map_or(100, |s| s.parse().unwrap());
    let claim: usize = std::env::args().nth(3).map_or(100, |s| s.parse().unwrap());
    let rounds: usize = std::env::args().nth(4).map_or(5, |s| s.parse().unwrap());
    let state = {
        let link = redis_link::Link::connect(redis_link::LinkConfig::new(
            redis_link::ServerUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap(),
            "b:s",
        ))
        .await
        .unwrap();
        state_store::StateStore::open(
            link,
            store_core::Namespace::new("tw").unwrap(),
            state_store::StateOptions::default(),
        )
        .await
        .unwrap()
    };
    let queue = store_core::QueueName::new("scratch").unwrap();
    let n = 100_000;
    let payload = bytes::Bytes::from(vec![7u8; 200]);
    let state: std::sync::Arc<state_store::StateStore> = std::sync::Arc::new(state);
    let worker = store_worker::Worker::new(state.clone()).concurrency(50).queue(queue.clone(), |_: store_worker::Job| async { Ok(store_worker::Done::discard()) }).build().unwrap();
    let handle = worker.handle();
    tokio::spawn(async move { worker.run().await.unwrap(); });
    let mut done = 0;
    for _ in 0..rounds {
        stats(&port);
        let a = cpu(&port);
        let t = std::time::Instant::now();
        for _ in 0..n / push {
            let jobs: Vec<NewJob> = (0..push).map(|_| NewJob::new(payload.clone())).collect();
            let _ = state.push(&queue, &jobs, Durability::Accepted).await.unwrap();
        }
        let pushed = t.elapsed();
        done += n as u64;
        while handle.stats().completed < done { tokio::time::sleep(Duration::from_millis(1)).await; }
        let e = t.elapsed();
        let b = cpu(&port);
        println!("server {:.2} rate {:.0} pushed after {:.2} of {:.2}s", (b - a) / n as f64, n as f64 / e.as_secs_f64(), pushed.as_secs_f64(), e.as_secs_f64());
        println!("   {}", stats(&port));
    }
}
