//! Two real servers, and the service on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{Exit, Program, RedisServer, random_prefix};

/// Two servers set up for their roles.
pub(crate) struct Fixture {
    pub(crate) cache: RedisServer,
    pub(crate) state: RedisServer,
    pub(crate) folder: Folder,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
        Self { cache: cache.unwrap(), state: state.unwrap(), folder: Folder::new() }
    }

    /// The service with these stores in its environment.
    pub(crate) fn notifier(&self, arguments: &[&str]) -> Program {
        notifier(arguments)
            .env("SERVICE_NAME", "notifier")
            .env("REDIS_CONN_BASE_URL", self.cache.url(None))
            .env("REDIS_CACHE_DB", "3")
            .env("REDIS_WORKERCACHE_CONN_URL", self.state.url(None))
            .current_dir(self.folder.path())
    }
}

/// The service with no store in its environment.
pub(crate) fn notifier(arguments: &[&str]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_notifier")).args(arguments)
}

/// A folder that ends with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(random_prefix());
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes `count` deliveries with the ids `0` … to a file, and names it.
    pub(crate) fn deliveries(&self, count: usize) -> String {
        let lines: String = (0..count).map(|id| delivery(&id.to_string())).collect();
        self.write("in.jsonl", lines)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// How often each id stands in a file that a sink wrote. Each line must be whole.
    pub(crate) fn delivered(&self, name: &str) -> BTreeMap<String, usize> {
        let text = std::fs::read_to_string(self.0.join(name)).unwrap_or_default();
        let mut ids = BTreeMap::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).expect("a sink writes whole lines");
            *ids.entry(line["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        ids
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// One line of input.
pub(crate) fn delivery(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","event":"issues","action":"opened","payload":{{"issue":{{"title":"message"}},"sender":{{"login":"ann"}}}}}}"#
    ) + "\n"
}

/// The one JSON object that `--json` prints, and nothing else.
pub(crate) fn report(exit: &Exit) -> Value {
    assert_eq!(exit.stdout.lines().count(), 1, "stdout: {:?}, stderr: {}", exit.stdout, exit.stderr);
    serde_json::from_str(&exit.stdout).expect("--json prints one object")
}

/// The counts of a report, in the order asked.
pub(crate) fn counts<const N: usize>(report: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| report[name].as_u64().unwrap_or_else(|| panic!("{name} in {report}")))
}
