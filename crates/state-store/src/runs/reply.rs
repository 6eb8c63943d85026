//! What the scripts return of runs and events.

use redis_link::ReplyReader;
use store_core::{
    AgentName, Error, Fence, Op, Result, RunEvent, RunEvents, RunId, RunInfo, RunOutcome, RunState, SessionId,
    Timestamp,
};

/// What is recorded of a run.
pub(super) struct Head {
    pub(super) info: RunInfo,
    /// The identity of its entries in listings: when it was created, in µs.
    pub(super) created: u64,
}

/// The length of the agent, the agent, the session: the end of a head.
pub(super) fn names(agent: &AgentName, session: Option<&SessionId>) -> String {
    format!("{:03}{agent}{}", agent.as_str().len(), session.map_or("", SessionId::as_str))
}

pub(super) fn head(op: Op, run: &RunId, head: &[u8]) -> Result<Head> {
    parse(run, head).ok_or_else(|| Error::corrupt(op, "the entry is no run"))
}

/// The answer of `write_run`: see `writing.lua`.
pub(crate) fn written(op: Op, run: &RunId, reply: &mut ReplyReader) -> Result<RunOutcome> {
    let word = reply.next_word()?;
    Ok(match word.as_ref() {
        b"superseded" => RunOutcome::Superseded { by: Fence::new(reply.next_u64()?) },
        b"absent" => RunOutcome::Absent,
        b"lost" => {
            let what = "so many events were appended since the first request that its own would be removed";
            return Err(Error::indeterminate(op, what));
        }
        word => {
            let found = head(op, run, &reply.next_bytes()?)?.info;
            match word {
                b"done" => RunOutcome::Done(found),
                b"conflict" => RunOutcome::Conflict(found),
                b"illegal" => RunOutcome::Illegal(found),
                _ => return Err(reply.unknown_word()),
            }
        }
    })
}

/// A head as `record.lua` writes it.
fn parse(run: &RunId, head: &[u8]) -> Option<Head> {
    let text = |from: usize, to: usize| std::str::from_utf8(head.get(from..to)?).ok();
    let number = |from: usize, to: usize| text(from, to)?.parse::<u64>().ok();
    let time = |from: usize| number(from, from + 15).map(Timestamp::from_millis);
    let agent_end = 174 + usize::try_from(number(171, 174)?).ok()?;
    let agent = AgentName::new(text(174, agent_end)?).ok()?;
    let session = Some(text(agent_end, head.len())?).filter(|session| !session.is_empty());
    let session = session.map(SessionId::new).transpose().ok()?;
    let created = number(18, 34)?;
    let mut info = RunInfo::new(run.clone(), agent, session, number(2, 18)?, Timestamp::from_millis(created / 1000));
    info.state = RunState::of_letter(*head.get(1)?)?;
    info.updated = time(34)?;
    info.ended = Some(time(49)?).filter(|ended| ended.as_millis() > 0);
    info.until = time(64)?;
    info.fence = Some(Fence::new(number(94, 110)?)).filter(|fence| fence.get() > 0);
    (info.first_event, info.next_event) = (number(110, 126)?, number(126, 142)?);
    Some(Head { info, created })
}

/// What follows the word of the answer of `events.lua`.
pub(super) fn events(op: Op, from: u64, mut reply: ReplyReader) -> Result<RunEvents> {
    let corrupt = || Error::corrupt(op, "the entry is no event of a run");
    let state = reply.next_bytes()?.first().copied().and_then(RunState::of_letter).ok_or_else(corrupt)?;
    let (first, end) = (reply.next_u64()?, reply.next_u64()?);
    let mut sequence = reply.next_u64()?;
    let mut events = Vec::with_capacity(reply.remaining());
    while reply.remaining() > 0 {
        events.push(event(sequence, &reply.next_bytes()?).ok_or_else(corrupt)?);
        sequence += 1;
    }
    Ok(RunEvents::new(events, from, first, end, state))
}

/// An event as `add_event` in `record.lua` writes it.
fn event(sequence: u64, value: &bytes::Bytes) -> Option<RunEvent> {
    let text = |from: usize, to: usize| std::str::from_utf8(value.get(from..to)?).ok();
    let at = text(1, 16)?.parse().ok()?;
    let kind_end = 34 + text(32, 34)?.parse::<usize>().ok()?;
    let event = RunEvent::new(text(34, kind_end)?, value.slice(kind_end..));
    Some(event.stored(sequence, Timestamp::from_millis(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_its_layout_its_state_numbers_a_request_and_names() {
        let digits = [
            "0000000000000012", // version
            "0000000000034567", // created
            "000000000000035",
            "000000000000036",
            "000000000000099",
            "000000000000060", // TTL
            "0000000000000007",
            "0000000000000003",
            "0000000000000005",
            "00000200",
            "01000",
        ];
        let head = |rest: &str| [b"1f", digits.concat().as_bytes(), &[0xff; 16], rest.as_bytes()].concat();
        let run = RunId::new("7").unwrap();
        let Head { info, created } = parse(&run, &head("007plannerann")).unwrap();
        let times = [info.created, info.updated, info.ended.unwrap(), info.until].map(Timestamp::as_millis);
        assert_eq!((info.state, info.version, times, created), (RunState::Failed, 12, [34, 35, 36, 99], 34567));
        assert_eq!((info.fence, info.first_event, info.next_event), (Some(Fence::new(7)), 3, 5));
        assert_eq!((info.agent.as_str(), info.session.as_ref().map(SessionId::as_str)), ("planner", Some("ann")));
        assert_eq!(parse(&run, &head("007planner")).unwrap().info.session, None);
        for broken in [head("008planner"), head("xxxplanner"), head("007planner{}"), head("")] {
            assert!(parse(&run, &broken).is_none());
        }
    }

    #[test]
    fn an_event_is_its_layout_its_time_a_request_a_kind_and_data() {
        let value = bytes::Bytes::from([&b"1000000000000042"[..], &[0xff; 16], b"04notedata\0"].concat());
        let found = event(3, &value).unwrap();
        assert_eq!((found.sequence, found.at.as_millis(), found.kind.as_str()), (3, 42, "note"));
        assert_eq!(found.data.as_ref(), b"data\0");
        assert!(event(3, &value.slice(..36)).is_none() && event(3, &bytes::Bytes::new()).is_none());
    }
}
