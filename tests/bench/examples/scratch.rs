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
    let n = 20_000;
    let payload = bytes::Bytes::from(vec![7u8; 200]);
    for _ in 0..rounds {
        stats(&port);
        let a = cpu(&port);
        for _ in 0..n / push {
            let jobs: Vec<NewJob> = (0..push).map(|_| NewJob::new(payload.clone())).collect();
            let _ = state.push(&queue, &jobs, Durability::Accepted).await.unwrap();
        }
        let b = cpu(&port);
        if std::env::var("PUSHONLY").is_ok() {
            return;
        }
        let s1 = stats(&port);
        let mut all = Vec::new();
        while all.iter().map(|j: &Vec<_>| j.len()).sum::<usize>() < n {
            let request =
                ClaimRequest::new(queue.clone(), HolderName::new("drain").unwrap(), claim, Duration::from_secs(60));
            let Claim { jobs, .. } = state.claim(&request).await.unwrap();
            all.push(jobs);
        }
        let c = cpu(&port);
        let s2 = stats(&port);
        for jobs in all {
            let s: Vec<_> = jobs.into_iter().map(|job| Settlement::new(job.lease, Outcome::Complete(None))).collect();
            let _ = state.settle(&queue, &s, Durability::Accepted).await.unwrap();
        }
        let d = cpu(&port);
        let s3 = stats(&port);
        let f = |x: f64| x / n as f64;
        println!("push {:.2} claim {:.2} settle {:.2} total {:.2}", f(b - a), f(c - b), f(d - c), f(d - a));
        if std::env::args().nth(5).is_some() {
            println!("  push: {s1}\n  claim: {s2}\n  settle: {s3}");
        }
    }
}
