//! Converts the library's frames and values to our replies.

use bytes::Bytes;
use fred::types::{Resp3Frame, Value};

use super::Failure;
use super::failure::{self, During, ErrorReply};
use crate::Reply;

/// A frame as a reply; an error frame, also inside a list, as the server's error.
pub(super) fn reply(frame: Resp3Frame) -> Result<Reply, Failure> {
    Ok(match frame {
        Resp3Frame::BlobString { data, .. }
        | Resp3Frame::SimpleString { data, .. }
        | Resp3Frame::VerbatimString { data, .. }
        | Resp3Frame::BigNumber { data, .. } => Reply::Bytes(data),
        Resp3Frame::Number { data, .. } => Reply::Int(data),
        Resp3Frame::Null => Reply::Nil,
        Resp3Frame::Boolean { data, .. } => Reply::Int(i64::from(data)),
        Resp3Frame::Double { data, .. } => Reply::Bytes(data.to_string().into()),
        Resp3Frame::Array { data, .. } | Resp3Frame::Push { data, .. } => list(data)?,
        Resp3Frame::Set { data, .. } => list(data)?,
        Resp3Frame::Map { data, .. } => list(data.into_iter().flat_map(|(key, value)| [key, value]))?,
        Resp3Frame::SimpleError { data, .. } => return Err(Failure::Answered(ErrorReply::new(&data))),
        Resp3Frame::BlobError { data, .. } => {
            return Err(Failure::Answered(ErrorReply::new(&String::from_utf8_lossy(&data))));
        }
        Resp3Frame::Hello { .. } | Resp3Frame::ChunkedString(_) => {
            return Err(Failure::Lost("the server sent something that is not a reply"));
        }
    })
}

fn list(frames: impl IntoIterator<Item = Resp3Frame>) -> Result<Reply, Failure> {
    frames.into_iter().map(reply).collect::<Result<_, _>>().map(Reply::List)
}

/// One result of a pipeline: the library has turned error frames into errors of its own.
pub(super) fn pipelined(result: Result<Value, fred::error::Error>) -> Result<Reply, Failure> {
    result.map(from_value).map_err(|error| failure::of_library(&error, During::Pipelined))
}

fn from_value(value: Value) -> Reply {
    match value {
        Value::Bytes(bytes) => Reply::Bytes(bytes),
        Value::String(text) => Reply::Bytes(text.into_inner()),
        Value::Integer(number) => Reply::Int(number),
        Value::Null => Reply::Nil,
        Value::Boolean(is_set) => Reply::Int(i64::from(is_set)),
        Value::Double(number) => Reply::Bytes(number.to_string().into()),
        Value::Queued => Reply::Bytes(Bytes::from_static(b"QUEUED")),
        Value::Array(values) => Reply::List(values.into_iter().map(from_value).collect()),
        Value::Map(map) => {
            let entries = map.inner().into_iter();
            Reply::List(entries.flat_map(|(key, value)| [Reply::Bytes(key.into_bytes()), from_value(value)]).collect())
        }
    }
}
