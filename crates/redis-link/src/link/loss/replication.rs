//! What a server reports about its replication.

use crate::Reply;

/// The id of a stream that does not exist.
const NO_STREAM: &str = "0000000000000000000000000000000000000000";

/// The fields of `INFO server` and `INFO replication` that show which writes a server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replication {
    pub(super) is_primary: bool,
    /// `run_id`: the run of the process.
    pub(super) run: String,
    /// `master_replid`: the stream that it writes to or receives.
    pub(super) stream: String,
    /// `master_replid2`: the stream that it received before, and the last position in it that it has.
    pub(super) earlier: Option<(String, u64)>,
}

impl Replication {
    /// `None` if a field is missing: the server does not report its replication.
    pub(super) fn parse(server: &Reply, replication: &Reply) -> Option<Self> {
        let field = |name: &str| field(replication, name);
        let earlier = field("master_replid2").filter(|stream| *stream != NO_STREAM);
        // The first position that it does not have; -1 if there is no earlier stream.
        let next = field("second_repl_offset").and_then(|offset| offset.parse::<u64>().ok());
        Some(Self {
            is_primary: field("role")? == "master",
            run: super::run_id(server)?.to_owned(),
            stream: field("master_replid")?.to_owned(),
            earlier: earlier.map(str::to_owned).zip(next.map(|next| next.saturating_sub(1))),
        })
    }
}

/// The stream of a primary, and its position in it.
pub(super) fn position(replication: &Reply) -> Option<(&str, u64)> {
    let is_primary = field(replication, "role")? == "master";
    let position = field(replication, "master_repl_offset")?.parse().ok()?;
    Some((field(replication, "master_replid")?, position)).filter(|_| is_primary)
}

/// Whether the server has received no other stream before.
pub(super) fn is_first(replication: &Reply) -> bool {
    field(replication, "master_replid2") == Some(NO_STREAM)
}

pub(super) fn field<'a>(info: &'a Reply, name: &str) -> Option<&'a str> {
    let mut lines = info.as_str()?.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> Reply {
        Reply::Bytes(text.to_owned().into())
    }

    const PROMOTED: &str = "# Replication\r\nrole:master\r\nconnected_slaves:1\r\nmaster_replid:new\r\n\
                            master_replid2:old\r\nmaster_repl_offset:90\r\nsecond_repl_offset:71\r\n";

    #[test]
    fn a_promoted_replica_reports_the_stream_that_it_received() {
        let server = info("# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n");
        let found = Replication::parse(&server, &info(PROMOTED)).unwrap();
        assert_eq!((found.is_primary, &*found.run, &*found.stream), (true, "abc", "new"));
        assert_eq!(found.earlier, Some(("old".to_owned(), 70)), "71 is the first position that it does not have");
        assert_eq!(position(&info(PROMOTED)), Some(("new", 90)));
        let started = PROMOTED.replace(":old", &format!(":{NO_STREAM}")).replace(":71", ":-1");
        assert_eq!(Replication::parse(&server, &info(&started)).unwrap().earlier, None);
        assert_eq!(position(&info(&PROMOTED.replace("role:master", "role:slave"))), None);
    }

    #[test]
    fn a_server_that_does_not_report_its_stream_is_none_of_them() {
        let kvrocks = info("# Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_repl_offset:3\r\n");
        assert_eq!(Replication::parse(&info("# Server\r\nversion:2.14\r\n"), &kvrocks), None);
        assert_eq!(position(&kvrocks), None);
        assert_eq!(Replication::parse(&Reply::Nil, &Reply::Nil), None);
    }
}
