//! Counts the commands that clients send, by the server's MONITOR, which distinguishes them from commands of scripts.

use testkit::RespConnection;

use crate::Result;
use crate::environment::Environment;

/// The command that ends a count: the commands that MONITOR shows before it are counted.
const END: &str = "end-of-count";

/// Does the work and returns how many commands clients sent meanwhile. Commands that scripts call are not counted. MONITOR costs
/// the server time, so this is never done while time or CPU is measured.
///
/// # Errors
/// The error of the work. If the engine has no server.
pub(crate) async fn count_sent(environment: &Environment, work: impl Future<Output = Result<()>>) -> Result<usize> {
    let server = environment.server()?;
    let (mut monitor, mut ending) = (server.connect().await?, server.connect().await?);
    monitor.command(&["MONITOR"]).await?;
    work.await?;
    ending.command(&["ECHO", END]).await?;
    count_until_end(&mut monitor).await
}

async fn count_until_end(monitor: &mut RespConnection) -> Result<usize> {
    let mut sent = 0;
    loop {
        let seen = monitor.receive().await?;
        // 1700000000.000001 [0 lua] "HGET" …
        let line = seen.as_str().ok_or("MONITOR returns no text")?;
        if line.contains(END) {
            return Ok(sent);
        }
        let called_by_script = line.split('"').next().unwrap_or(line).contains(" lua]");
        sent += usize::from(!called_by_script);
    }
}
