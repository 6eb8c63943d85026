//! An order service: typed jobs, an idempotent operation, a rate limit and a cache.
//!
//! It reads orders from its standard input, one per line (idempotency key, customer, item, quantity), and ships them until
//! SIGTERM or Ctrl-C. Without servers:
//!
//! ```sh
//! export SERVICE_NAME=orders REDIS_CONN_BASE_URL=embedded: REDIS_WORKERCACHE_CONN_URL=embedded:
//! echo "k1 ann tea 2" | cargo run --package twinstore --example orders
//! ```
#![allow(clippy::print_stdout, reason = "it reports on its standard output")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use twinstore::cache::{Loading, LoadingOptions};
use twinstore::prelude::*;

/// How long shipped orders are kept: as long as an order can be repeated, the time for which its response is kept.
const SHIPPED: Duration = Duration::from_secs(24 * 3600);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    customer: String,
    item: String,
    quantity: u64,
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    shipment: JobId,
    cents: u64,
}

#[derive(Serialize, Deserialize)]
struct Shipment {
    order: Order,
    cents: u64,
}

impl JobType for Shipment {
    const QUEUE: &'static str = "shipments";
}

struct Shop {
    stores: Stores,
    prices: Loading<u64>,
    placing: Operation<Order, Receipt>,
}

impl Shop {
    fn new(stores: &Stores) -> Result<Self, Failure> {
        let options = LoadingOptions::new(Ttl::from_secs(60)).with_stale_for(Duration::from_secs(3600));
        Ok(Self {
            stores: stores.clone(),
            prices: stores.cache().loading(HandleName::new("prices")?, options),
            placing: stores.state().operation(HandleName::new("place-order")?),
        })
    }

    /// Answers one request as an HTTP handler would.
    async fn answer(&self, key: &str, order: Order) -> Result<String, Failure> {
        let rate = Rate::Gcra { count: 3, period: Duration::from_secs(3600), burst: 3 };
        let limit = RateCheck::new(Key::new(&order.customer)?, rate);
        let decision = self.stores.cache().rate_limit().decide(&[limit], OnUnavailable::Allow).await?;
        if !decision.allowed {
            return Ok("429 too many orders".to_owned());
        }
        let place = async || {
            let cents = self.price(&order.item).await? * order.quantity;
            let shipments = self.stores.state().queue_of::<Shipment>();
            // The id is the key, which the queue keeps: if this process dies now, the repeated order ships nothing again.
            let id = JobId::new(key)?;
            shipments.push_one(shipments.job(&Shipment { order: order.clone(), cents })?.with_id(id.clone())).await?;
            Ok(Receipt { shipment: id, cents })
        };
        Ok(match self.placing.run(&Key::new(key)?, &order, place).await? {
            Ran::Fresh(receipt) => format!("201 {} cents", receipt.cents),
            Ran::InProgress { .. } => "409 in progress".to_owned(),
            Ran::Mismatch => "422 the key belongs to another order".to_owned(),
            placed => placed.response().map_or_else(String::new, |receipt| format!("200 {} cents", receipt.cents)),
        })
    }

    async fn price(&self, item: &str) -> Result<u64, Failure> {
        let cents = item.len() as u64 * 100;
        let load = async move || {
            println!("loading a price"); // a slow call to another service
            Ok::<_, std::io::Error>(cents)
        };
        Ok(self.prices.get_or_load(&Key::new(item)?, load).await?.value)
    }
}

async fn ship(shipment: Shipment, job: Job) -> HandlerResult {
    let Shipment { order: Order { customer, item, quantity }, cents } = shipment;
    println!("shipping {quantity} {item} to {customer} for {cents} cents, attempt {}", job.attempt());
    Ok(Done::keep("", SHIPPED)) // a discarded job could be pushed again
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let stores = Stores::from_env().await.unwrap_or_else(|error| error.exit());
    let shop = Shop::new(&stores)?;
    let worker = stores.state().worker().with_handler(ship).with_concurrency(8).with_signals().build()?;
    let mut working = tokio::spawn(worker.run());
    let (sender, mut lines) = tokio::sync::mpsc::channel(1);
    let input = sender.clone(); // `sender` keeps the channel open when the input ends
    let read = move || std::io::stdin().lines().map_while(Result::ok).all(|line| input.blocking_send(line).is_ok());
    std::thread::spawn(read);
    while let Some(line) = tokio::select! { line = lines.recv() => line, _ = &mut working => None } {
        let [key, customer, item, quantity] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
        let Ok(quantity) = quantity.parse() else { continue };
        let order = Order { customer: customer.into(), item: item.into(), quantity };
        println!("{key}: {}", shop.answer(key, order).await.unwrap_or_else(|error| format!("500 {error}")));
    }
    stores.close().await;
    Ok(())
}
