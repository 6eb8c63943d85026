//! Where notifications go.

use std::fmt;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::Mutex;

/// What `--sink` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SinkSpec {
    /// Nowhere.
    Null,
    /// A file, one line each, appended.
    File(PathBuf),
    /// An HTTP server, one POST each.
    Http(reqwest::Url),
}

impl FromStr for SinkSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "null" => Ok(SinkSpec::Null),
            Some(("file", path)) if !path.is_empty() => Ok(SinkSpec::File(path.into())),
            Some(("http" | "https", rest)) if rest.starts_with("//") => match reqwest::Url::parse(text) {
                Ok(url) => Ok(SinkSpec::Http(url)),
                Err(error) => Err(format!("the address of the HTTP sink cannot be used: {error}")),
            },
            _ => Err("a sink is null, file:PATH, http://… or https://…".to_owned()),
        }
    }
}

/// A sink that is open. Clones share it.
#[derive(Clone)]
pub(crate) enum Sink {
    Null,
    File(Arc<Mutex<Lines>>),
    Http { client: reqwest::Client, url: reqwest::Url },
}

impl Sink {
    /// Opens the sink; creates a file that is not there.
    pub(crate) async fn open(spec: &SinkSpec) -> Result<Self, String> {
        match spec {
            SinkSpec::Null => Ok(Sink::Null),
            SinkSpec::File(path) => {
                let lines = Lines::open(path).await;
                let lines = lines.map_err(|error| format!("cannot open the sink {}: {error}", path.display()))?;
                Ok(Sink::File(Arc::new(Mutex::new(lines))))
            }
            SinkSpec::Http(url) => {
                // Set already where something else needs TLS too: then that one serves.
                let _ = rustls::crypto::ring::default_provider().install_default();
                // A redirect turns a POST into a GET without the notification.
                let client = reqwest::Client::builder()
                    .timeout(Duration::from_secs(10))
                    .redirect(reqwest::redirect::Policy::none())
                    .build()
                    .map_err(|error| format!("cannot set up the HTTP sink: {}", error.without_url()))?;
                Ok(Sink::Http { client, url: url.clone() })
            }
        }
    }

    /// Delivers one line (without its end). When this returns `Ok`, the whole line is written, or the server has accepted it.
    pub(crate) async fn deliver(&self, line: Vec<u8>) -> Result<(), String> {
        match self {
            Sink::Null => Ok(()),
            Sink::File(lines) => {
                let lines = Arc::clone(lines);
                // In a task of its own: a handler that is stopped in the middle must not leave half a line.
                let write = tokio::spawn(async move { lines.lock().await.append(line).await });
                match write.await {
                    Ok(written) => written.map_err(|error| format!("cannot write to the sink: {error}")),
                    Err(_) => Err("writing to the sink was stopped".to_owned()),
                }
            }
            Sink::Http { client, url } => {
                let sent = client.post(url.clone()).header("content-type", "application/json").body(line).send().await;
                match sent.map(|response| response.status()) {
                    Ok(status) if status.is_success() => Ok(()),
                    Ok(status) => Err(format!("the HTTP sink did not accept it: it answered {status}")),
                    Err(error) => Err(format!("the HTTP sink did not accept it: {}", error.without_url())),
                }
            }
        }
    }
}

/// A file that grows by whole lines.
pub(crate) struct Lines {
    file: File,
    /// Whether its last line has no end: the disk was full, or a process was killed in the middle.
    is_torn: bool,
}

impl Lines {
    async fn open(path: &Path) -> std::io::Result<Self> {
        let file = tokio::fs::OpenOptions::new().append(true).create(true).open(path).await?;
        // What is no regular file (a pipe, a terminal) has no end to look at.
        let has_end = file.metadata().await?.is_file();
        Ok(Self { file, is_torn: has_end && last_byte(path).await.is_ok_and(|byte| byte != b'\n') })
    }

    /// Appends a line; behind half a line it begins with the end of that one, so that only what was torn cannot be read.
    async fn append(&mut self, mut line: Vec<u8>) -> std::io::Result<()> {
        if self.is_torn {
            line.insert(0, b'\n');
        }
        line.push(b'\n');
        self.is_torn = true;
        self.file.write_all(&line).await?;
        self.file.flush().await?;
        self.is_torn = false;
        Ok(())
    }
}

async fn last_byte(path: &Path) -> std::io::Result<u8> {
    let mut file = File::open(path).await?;
    file.seek(SeekFrom::End(-1)).await?;
    file.read_u8().await
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sink::Null => "Sink::Null",
            Sink::File(_) => "Sink::File",
            Sink::Http { .. } => "Sink::Http",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Sink, SinkSpec};

    #[tokio::test]
    async fn half_a_line_does_not_spoil_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.txt");
        for (before, after) in [("", "new\n"), ("whole\n", "whole\nnew\n"), ("hal", "hal\nnew\n")] {
            std::fs::write(&path, before).unwrap();
            Sink::open(&SinkSpec::File(path.clone())).await.unwrap().deliver(b"new".to_vec()).await.unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }

    /// A redirect would be followed by a GET without the notification.
    #[tokio::test]
    async fn an_answer_that_is_no_success_is_no_delivery() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", server.local_addr().unwrap());
        let sink = Sink::open(&url.parse().unwrap()).await.unwrap();
        for status in ["301 Moved Permanently", "302 Found", "304 Not Modified", "404 Not Found"] {
            let answer = async {
                let (mut connection, _) = server.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = connection.read(&mut request).await.unwrap();
                let head =
                    format!("HTTP/1.1 {status}\r\nlocation: {url}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                connection.write_all(head.as_bytes()).await.unwrap();
            };
            let (delivered, ()) = tokio::join!(sink.deliver(b"{}".to_vec()), answer);
            let why = delivered.unwrap_err();
            assert!(why.contains(status), "{why}");
        }
    }

    #[test]
    fn sinks_are_named() {
        assert_eq!("null".parse(), Ok(SinkSpec::Null));
        assert_eq!("file:out.txt".parse(), Ok(SinkSpec::File("out.txt".into())));
        assert!("http://localhost:1".parse::<SinkSpec>().is_ok());
        for wrong in ["", "file:", "out.txt", "http:", "ftp://x", "http://", "http://local host:1", "http://x:port"] {
            assert!(wrong.parse::<SinkSpec>().is_err(), "{wrong}");
        }
    }
}
