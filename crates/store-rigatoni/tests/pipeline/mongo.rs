//! A server with one collection of inserts, for clients that watch it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::{Bson, Document, doc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// The operation code of every message: `OP_MSG`.
const OP_MSG: i32 = 2013;

/// The most events in a reply.
const BATCH: u32 = 7;

/// How long `getMore` waits for an event.
const AWAIT: Duration = Duration::from_millis(100);

/// The stub. Event `n` inserts a document with the id `n`; the first event is 1. Clones share it.
#[derive(Clone)]
pub(crate) struct Mongo {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The number of the last event.
    last: watch::Sender<u32>,
    /// The last event that each cursor has returned.
    cursors: Mutex<HashMap<i64, u32>>,
    next_cursor: AtomicI64,
    opened: Mutex<Vec<Option<u32>>>,
}

impl Mongo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Shared {
            last: watch::Sender::new(0),
            cursors: Mutex::default(),
            next_cursor: AtomicI64::new(1),
            opened: Mutex::default(),
        };
        let mongo = Self { address: listener.local_addr().unwrap(), shared: Arc::new(shared) };
        let accepting = mongo.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mongo = accepting.clone();
                // an instance that is killed closes its connections
                tokio::spawn(async move { mongo.serve(stream).await.unwrap_or_default() });
            }
        });
        mongo
    }

    pub(crate) fn uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    /// Inserts so many documents.
    pub(crate) fn insert(&self, count: u32) {
        self.shared.last.send_modify(|last| *last += count);
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> u32 {
        *self.shared.last.borrow()
    }

    /// The position from which each change stream was resumed, in the order in which they were opened. `None`: it began at the end.
    pub(crate) fn opened(&self) -> Vec<Option<u32>> {
        self.shared.opened.lock().unwrap().clone()
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let mut header = [0; 16];
            stream.read_exact(&mut header).await?;
            let number = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().unwrap());
            let mut message = vec![0; usize::try_from(number(0)).unwrap() - 16];
            stream.read_exact(&mut message).await?;
            assert_eq!(number(12), OP_MSG, "another operation");
            // flags (4 bytes), kind of the first section (1 byte), the command
            assert_eq!(message[4], 0, "a section of another kind");
            let command: Document = bson::from_slice(&message[5..]).unwrap();
            let reply = bson::to_vec(&self.reply(&command).await).unwrap();
            let length = i32::try_from(16 + 5 + reply.len()).unwrap();
            let mut answer = Vec::new();
            for number in [length, 0, number(4), OP_MSG, 0] {
                answer.extend_from_slice(&number.to_le_bytes());
            }
            answer.push(0);
            answer.extend_from_slice(&reply);
            stream.write_all(&answer).await?;
        }
    }

    async fn reply(&self, command: &Document) -> Document {
        let name = command.keys().next().unwrap().as_str();
        match name {
            "hello" | "isMaster" | "ismaster" => doc! {
                "ok": 1.0, "ismaster": true, "isWritablePrimary": true, "helloOk": true, "readOnly": false,
                "minWireVersion": 0, "maxWireVersion": 21, "maxBsonObjectSize": 16 << 20,
                "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
            },
            "aggregate" => self.open(command),
            "getMore" => self.more(command.get_i64("getMore").unwrap()).await,
            "killCursors" | "endSessions" => doc! { "ok": 1.0 },
            _ => doc! { "ok": 0.0, "code": 59, "codeName": "CommandNotFound", "errmsg": format!("no command {name}") },
        }
    }

    fn open(&self, command: &Document) -> Document {
        let stage = command.get_array("pipeline").unwrap()[0].as_document().unwrap();
        let options = stage.get_document("$changeStream").unwrap();
        let resumed = options.get_document("resumeAfter").ok().map(number_of);
        let after = resumed.unwrap_or_else(|| self.last());
        let cursor = self.shared.next_cursor.fetch_add(1, Ordering::Relaxed);
        self.shared.cursors.lock().unwrap().insert(cursor, after);
        self.shared.opened.lock().unwrap().push(resumed);
        answer(cursor, "firstBatch", after, after)
    }

    async fn more(&self, cursor: i64) -> Document {
        let Some(after) = self.shared.cursors.lock().unwrap().get(&cursor).copied() else {
            return doc! { "ok": 0.0, "code": 43, "codeName": "CursorNotFound", "errmsg": "no such cursor" };
        };
        let mut last = self.shared.last.subscribe();
        // a reply without events if there is none in time
        let _ = timeout(AWAIT, last.wait_for(|last| *last > after)).await;
        let until = self.last().min(after + BATCH);
        self.shared.cursors.lock().unwrap().insert(cursor, until);
        answer(cursor, "nextBatch", after, until)
    }
}

/// The position after an event.
pub(crate) fn token_of(event: u32) -> Document {
    doc! { "_data": format!("82{event:08x}") }
}

/// The event of a position.
pub(crate) fn number_of(token: &Document) -> u32 {
    u32::from_str_radix(&token.get_str("_data").unwrap()[2..], 16).unwrap()
}

/// A batch of a cursor: the events behind `after`, up to `until`.
fn answer(cursor: i64, batch: &str, after: u32, until: u32) -> Document {
    let events: Vec<Bson> = (after + 1..=until).map(|event| event_document(event).into()).collect();
    let cursor = doc! { "id": cursor, "ns": "shop.users", batch: events, "postBatchResumeToken": token_of(until) };
    doc! { "ok": 1.0, "cursor": cursor }
}

fn event_document(event: u32) -> Document {
    let id = i64::from(event);
    doc! {
        "_id": token_of(event),
        "operationType": "insert",
        "clusterTime": bson::Timestamp { time: 1_767_225_600 + event, increment: 1 },
        "ns": { "db": "shop", "coll": "users" },
        "documentKey": { "_id": id },
        "fullDocument": { "_id": id, "name": format!("user {event}") },
    }
}
