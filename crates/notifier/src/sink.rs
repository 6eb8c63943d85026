//! Where notifications go.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

/// What `--sink` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SinkSpec {
    /// Nowhere.
    Null,
    /// A file, one line each, appended.
    File(PathBuf),
    /// An HTTP server, one POST each.
    Http(String),
}

impl FromStr for SinkSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "null" => Ok(SinkSpec::Null),
            Some(("file", path)) if !path.is_empty() => Ok(SinkSpec::File(path.into())),
            Some(("http" | "https", rest)) if rest.len() > 2 && rest.starts_with("//") => {
                Ok(SinkSpec::Http(text.to_owned()))
            }
            _ => Err("a sink is null, file:PATH, http://… or https://…".to_owned()),
        }
    }
}

/// A sink that is open. Clones share it.
#[derive(Clone)]
pub(crate) enum Sink {
    Null,
    File(Arc<Mutex<File>>),
    Http { client: reqwest::Client, url: Arc<str> },
}

impl Sink {
    /// Opens the sink; creates a file that is not there.
    pub(crate) async fn open(spec: &SinkSpec) -> Result<Self, String> {
        match spec {
            SinkSpec::Null => Ok(Sink::Null),
            SinkSpec::File(path) => {
                let file = tokio::fs::OpenOptions::new().append(true).create(true).open(path).await;
                let file = file.map_err(|error| format!("cannot open the sink {}: {error}", path.display()))?;
                Ok(Sink::File(Arc::new(Mutex::new(file))))
            }
            SinkSpec::Http(url) => {
                // Set already where something else needs TLS too: then that one serves.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder()
                    .timeout(Duration::from_secs(10))
                    .build()
                    .map_err(|error| format!("cannot set up the HTTP sink: {}", error.without_url()))?;
                Ok(Sink::Http { client, url: url.as_str().into() })
            }
        }
    }

    /// Delivers one line (without its end). When this returns `Ok`, the whole line is written, or the server has accepted it.
    pub(crate) async fn deliver(&self, mut line: Vec<u8>) -> Result<(), String> {
        match self {
            Sink::Null => Ok(()),
            Sink::File(file) => {
                line.push(b'\n');
                let file = Arc::clone(file);
                // In a task of its own: a handler that is stopped in the middle must not leave half a line.
                let write = tokio::spawn(async move {
                    let mut file = file.lock().await;
                    file.write_all(&line).await?;
                    file.flush().await
                });
                match write.await {
                    Ok(written) => written.map_err(|error| format!("cannot write to the sink: {error}")),
                    Err(_) => Err("writing to the sink was stopped".to_owned()),
                }
            }
            Sink::Http { client, url } => {
                let sent = client.post(&**url).header("content-type", "application/json").body(line).send().await;
                let response = sent.and_then(reqwest::Response::error_for_status);
                response.map(drop).map_err(|error| format!("the HTTP sink did not accept it: {}", error.without_url()))
            }
        }
    }
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
    use super::SinkSpec;

    #[test]
    fn sinks_are_named() {
        assert_eq!("null".parse(), Ok(SinkSpec::Null));
        assert_eq!("file:out.txt".parse(), Ok(SinkSpec::File("out.txt".into())));
        assert!("http://localhost:1".parse::<SinkSpec>().is_ok());
        for wrong in ["", "file:", "out.txt", "http:", "ftp://x"] {
            assert!(wrong.parse::<SinkSpec>().is_err(), "{wrong}");
        }
    }
}
