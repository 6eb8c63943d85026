use std::path::Path;

use store_core::Role;

use super::directives::canonical;
use super::read::ConfLine;
use super::values::{bytes, words};
use super::{ConfFinding, about};
use crate::{Code, commands};

/// Settings with which the server starts, and which are wrong for its role. Of a repeated directive the last line counts.
pub(super) fn check(role: Role, path: &Path, lines: &[ConfLine]) -> Vec<ConfFinding> {
    let conf = Conf { role, path, lines };
    let mut findings = match role {
        Role::Cache => conf.cache(),
        Role::State => conf.state(),
    };
    findings.extend(conf.both());
    findings
}

/// A contradiction: its code, the directive that causes it, what is set, and the line to write.
type Contradiction<'a> = (Option<&'a ConfLine>, String, String);

struct Conf<'a> {
    role: Role,
    path: &'a Path,
    lines: &'a [ConfLine],
}

impl<'a> Conf<'a> {
    fn cache(&self) -> Vec<ConfFinding> {
        let mut found = Vec::new();
        self.expect(
            &mut found,
            "maxmemory-policy",
            "noeviction",
            &["volatile-lru"],
            "a full cache then refuses writes, or evicts the keys that mark a database's owner",
        );
        self.expect(&mut found, "appendonly", "no", &["no"], "a cache need not be on disk");
        self.expect(&mut found, "cluster-enabled", "no", &["no"], "a cluster has no database numbers");
        if let Some((line, rules)) = self.snapshots() {
            let what = format!("save is {rules}: a cache need not be on disk");
            found.push((line, what, "Write `save \"\"`.".to_owned()));
        }
        let databases = self.last("databases").filter(|line| line.values[0] == "1");
        if databases.is_some() {
            let what = "databases is 1, and a service needs its own number and the shared one".to_owned();
            found.push((databases, what, "Write `databases 16`, or more if there are more services.".to_owned()));
        }
        self.findings(found)
    }

    fn state(&self) -> Vec<ConfFinding> {
        let mut found = Vec::new();
        self.expect(
            &mut found,
            "maxmemory-policy",
            "noeviction",
            &["noeviction"],
            "a full server then deletes jobs and leases",
        );
        self.expect(&mut found, "appendonly", "no", &["yes"], "a restart then loses acknowledged writes");
        self.expect(
            &mut found,
            "appendfsync",
            "everysec",
            &["everysec", "always"],
            "nothing then bounds what a crash loses",
        );
        let clients = self.last("maxmemory-clients").filter(|line| line.values[0] != "0");
        if clients.is_some() {
            let what = "maxmemory-clients is set: servers have crashed when they evicted a client that waits for a job";
            found.push((clients, what.to_owned(), "Remove the line.".to_owned()));
        }
        self.findings(found)
    }

    fn both(&self) -> Vec<ConfFinding> {
        let mut findings = Vec::new();
        let needed = commands::of_role(self.role, "x");
        let is_needed = |line: &&ConfLine| {
            line.name == "rename-command" && needed.iter().any(|words| words[0].eq_ignore_ascii_case(&line.values[0]))
        };
        let renamed = self.lines.iter().filter(is_needed).map(|line| {
            let name = line.values[0].to_ascii_uppercase();
            let what = format!("{name} is renamed, and services send it by its name");
            (Some(line), what, "Remove the line, and restrict users by ACL rules.".to_owned())
        });
        findings.extend(self.findings(renamed.collect()));
        let limit = self.last("maxmemory");
        if limit.is_none_or(|line| bytes(&line.values[0]) == Some(0)) {
            let mut found = about(self.role, self.path, limit, Code::NoMaxmemory, "maxmemory is 0: no limit");
            found.finding.help =
                "Write `maxmemory <limit>` with a limit below the memory of the machine or container.".into();
            findings.push(found);
        }
        let is_set = |name: &str| self.last(name).is_some_and(|line| !line.values[0].is_empty());
        if !is_set("requirepass") && !is_set("aclfile") && self.last("user").is_none() {
            let what = "neither aclfile nor user nor requirepass is set: the server accepts clients without a password";
            let mut found = about(self.role, self.path, None, Code::NoPassword, what);
            found.finding.help = "Write `aclfile <path>`, and define the users there.".into();
            findings.push(found);
        }
        findings
    }

    /// Adds a contradiction unless the directive, or its default, has one of the right values.
    fn expect(&self, found: &mut Vec<Contradiction<'a>>, name: &str, default: &str, right: &[&str], why: &str) {
        let line = self.last(name);
        let value = line.map_or(default, |line| line.values[0].as_str()).to_ascii_lowercase();
        if !right.contains(&value.as_str()) {
            let by_default = if line.is_none() { " by default" } else { "" };
            let what = format!("{name} is {value}{by_default}: {why}");
            found.push((line, what, format!("Write `{name} {}`.", right[0])));
        }
    }

    /// The rules for snapshots, with the line that decides. Lines add rules; an empty rule removes those before it.
    fn snapshots(&self) -> Option<(Option<&'a ConfLine>, String)> {
        let mut rules: Option<(Option<&ConfLine>, Vec<String>)> = Some((None, vec!["on by default".to_owned()]));
        let mut is_default = true;
        for line in self.lines.iter().filter(|line| line.name == "save") {
            let words: Vec<_> = words(&line.values).into_iter().filter(|word| !word.is_empty()).collect();
            let before = rules.take().filter(|_| !is_default && !words.is_empty());
            is_default = false;
            if !words.is_empty() {
                let all = before.map(|(_, rules)| rules).unwrap_or_default().into_iter().chain(words).collect();
                rules = Some((Some(line), all));
            }
        }
        rules.map(|(line, rules)| (line, rules.join(" ")))
    }

    /// The line that counts.
    fn last(&self, name: &str) -> Option<&'a ConfLine> {
        self.lines.iter().rfind(|line| canonical(&line.name) == name)
    }

    fn findings(&self, found: Vec<Contradiction<'_>>) -> Vec<ConfFinding> {
        let finding = |(line, what, help): Contradiction<'_>| {
            let mut found = about(self.role, self.path, line, Code::ConfContradictsRole, &what);
            found.finding.help = help.into();
            found
        };
        found.into_iter().map(finding).collect()
    }
}
