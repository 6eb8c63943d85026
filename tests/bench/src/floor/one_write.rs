//! The floor of a push: one script, one write.

use crate::Result;
use crate::case::Side;
use crate::environment::Environment;

use super::{Pipelined, Script};

/// Its name as a side.
pub(crate) const NAME: &str = "EVALSHA, 1 write";
/// The script.
pub(super) const TEXT: &str = "return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])";

/// `ops` calls per round, `window` of them under way, each with an id of this library's form and a payload of 200 bytes.
pub(crate) async fn side(environment: &Environment, window: usize, ops: usize) -> Result<Box<dyn Side>> {
    let mut wire = environment.wire().await?;
    let (script, payload) = (Script::load(&mut wire, TEXT).await?, environment.payload());
    let floor = Pipelined::new(wire, NAME, window, ops, move |number, _, commands| {
        let id = format!("{number:036}");
        script.call(&[b"floor:jobs"], &[id.as_bytes(), &payload], commands);
    });
    Ok(floor.with_leaves("floor:").side())
}
