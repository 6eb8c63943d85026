//! Compares the user's rights with the commands that the role sends.

use std::collections::BTreeSet;

use redis_link::{Fact, MAX_DATABASE, version_of};
use store_core::{Namespace, Role};

use super::visit::Visit;
use crate::commands::{self, TOO_WIDE, name_of, rule_of};
use crate::draft::Draft;
use crate::{Code, Finding};

/// Further checks: a user with access to a key that nobody uses has access to all keys; one with access only to our
/// keys has patterns. A user with access to a channel that nobody uses has access to all channels.
const BESIDES: [&[&str]; 6] = [
    &["GET", "preflight-foreign"],
    &["SET", "preflight-foreign"],
    &["GET", "twinstore:preflight"],
    &["SET", "twinstore:preflight"],
    &["PUBLISH", "preflight-foreign", "x"],
    &["SUBSCRIBE", "preflight-foreign"],
];

pub(super) async fn check(draft: &Draft, visit: &Visit<'_>) -> Vec<Finding> {
    if visit.is_kvrocks() {
        // the server has no ACLs
        return Vec::new();
    }
    // another finding reports the invalid namespace; without it the keys are unknown
    let missing = match &draft.namespace {
        Some(namespace) => missing(visit, namespace).await,
        None => None,
    };
    let too_wide = too_wide(draft, visit).await;
    missing.into_iter().chain(too_wide).collect()
}

/// One command of the role, on one of its keys, on a foreign key, or without a key.
struct Need {
    words: Vec<String>,
    key: Option<String>,
    /// Whether it is a command on a channel.
    has_channel: bool,
    is_missing: bool,
}

impl Need {
    fn new(words: Vec<String>, key: Option<String>) -> Self {
        Self { words, key, has_channel: false, is_missing: false }
    }
}

fn needs(visit: &Visit<'_>, namespace: &Namespace, keys: &[String]) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for key in keys {
        for words in commands::of_role(visit.role(), key) {
            let key = words.contains(key).then(|| key.clone());
            if key.is_some() || needs.iter().all(|need| need.words != words) {
                needs.push(Need::new(words, key));
            }
        }
    }
    let on_channel = commands::on_channel(visit.role(), &commands::sample_channel(namespace));
    needs.extend(on_channel.into_iter().map(|words| Need { has_channel: true, ..Need::new(words, None) }));
    if visit.is_of_cluster() {
        let words = |line: &&str| line.split(' ').map(str::to_owned).collect();
        needs.extend(commands::CLUSTER.iter().map(|line| Need::new(words(line), None)));
    }
    if visit.role() == Role::State && visit.database != 0 {
        needs.push(Need::new(vec!["SELECT".into(), visit.database.to_string()], None));
    }
    needs
}

async fn missing(visit: &Visit<'_>, namespace: &Namespace) -> Option<Finding> {
    let keys = commands::sample_keys(visit.role(), namespace);
    let mut needs = needs(visit, namespace, &keys);
    let asked = needs.iter().map(|need| need.words.iter().map(String::as_str).collect());
    let asked: Vec<Vec<&str>> = asked.chain(BESIDES.iter().map(|words| words.to_vec())).collect();
    let lines: Vec<&[&str]> = asked.iter().map(Vec::as_slice).collect();
    let lacking = match visit.probe.lacks_permission(&lines).await {
        Fact::Known(lacking) => lacking,
        Fact::Unknown(why) => return Some(visit.finding(Code::AclUnknown, why)),
    };
    let count = needs.len();
    let may = |besides: &[usize]| besides.iter().any(|index| !lacking.contains(&(count + index)));
    let keys_of_user = match (may(&[0, 1]), may(&[2, 3])) {
        (true, _) => KeysOfUser::All,
        (false, true) => KeysOfUser::Some,
        (false, false) => KeysOfUser::Unknown,
    };
    let has_all_channels = may(&[4, 5]);
    let may_nothing = lacking.len() == asked.len();
    for index in lacking {
        if let Some(need) = needs.get_mut(index) {
            need.is_missing = true;
        }
    }
    if needs.iter().all(|need| !need.is_missing) {
        return None;
    }
    let user = visit.connection.user();
    if may_nothing {
        let what = format!("the user {user} may not run scripts: EVALSHA, SCRIPT LOAD");
        return Some(visit.finding(Code::AclMissingCommand, what).with_help("<rules>", &all_rules(visit, namespace)));
    }
    let missing = Missing::of(&needs, &keys, namespace, has_all_channels);
    let what = format!("the user {user} may not run: {}", missing.texts().join(", "));
    let rules = missing.rules(visit.role(), keys_of_user);
    let rules = rules.unwrap_or_else(|| all_rules(visit, namespace));
    Some(visit.finding(Code::AclMissingCommand, what).with_help("<rules>", &rules))
}

/// The keys that a user may access.
#[derive(Clone, Copy, PartialEq)]
enum KeysOfUser {
    All,
    Some,
    /// The user may run no command that would show it.
    Unknown,
}

/// The rights that a user lacks: keys and channels that it may not use, and commands that it may not run.
struct Missing<'a> {
    needs: &'a [Need],
    untouchable: Vec<&'a String>,
    /// Whether the user may use none of our channels: it lacks the pattern, or all commands that need one.
    is_deaf: bool,
    keys: &'a [String],
    namespace: &'a Namespace,
}

impl<'a> Missing<'a> {
    fn of(needs: &'a [Need], keys: &'a [String], namespace: &'a Namespace, has_all_channels: bool) -> Self {
        let is_touchable = |key: &&String| needs.iter().any(|need| need.key.as_ref() == Some(key) && !need.is_missing);
        let untouchable = keys.iter().filter(|key| !is_touchable(key)).collect();
        // These need no right on the channel.
        let ends = |need: &&Need| ["UNSUBSCRIBE", "SUNSUBSCRIBE"].contains(&need.words[0].as_str());
        let mut on_channel = needs.iter().filter(|need| need.has_channel && !ends(need)).peekable();
        let is_deaf = on_channel.peek().is_some() && on_channel.all(|need| need.is_missing) && !has_all_channels;
        Self { needs, untouchable, is_deaf, keys, namespace }
    }

    /// The commands that the user may not run, without those on keys and channels that it may not use.
    fn commands(&self) -> impl Iterator<Item = &'a Need> {
        let is_of_command = |need: &&Need| {
            !(need.has_channel && self.is_deaf) && need.key.as_ref().is_none_or(|key| !self.untouchable.contains(&key))
        };
        self.needs.iter().filter(|need| need.is_missing).filter(is_of_command).collect::<Vec<_>>().into_iter()
    }

    fn texts(&self) -> Vec<String> {
        let mut texts: Vec<_> = self.untouchable.iter().map(|key| format!("anything on keys such as {key}")).collect();
        texts.extend(self.is_deaf.then(|| {
            format!("PUBLISH and SUBSCRIBE on channels such as {}", commands::sample_channel(self.namespace))
        }));
        for need in self.commands() {
            let name = name_of(&need.words);
            if !texts.contains(&name) {
                texts.push(name);
            }
        }
        texts
    }

    /// The rules that grant them; `None` if it is not known whether they are valid. The server refuses a pattern if the user
    /// has all keys.
    fn rules(&self, role: Role, keys_of_user: KeysOfUser) -> Option<String> {
        if keys_of_user == KeysOfUser::Unknown && !self.untouchable.is_empty() {
            return None;
        }
        let is_missing = |name: &str, key: &String| {
            let mut of_key = self.needs.iter().filter(|need| need.key.as_ref() == Some(key));
            of_key.any(|need| need.is_missing && need.words[0] == name)
        };
        let mut granted: BTreeSet<_> = self.commands().map(|need| format!("+{}", rule_of(&need.words))).collect();
        if self.untouchable.len() == self.keys.len() {
            // for these commands the check only works on a key that the user may use
            granted.extend(
                self.needs.iter().filter(|need| !need.has_channel).map(|need| format!("+{}", rule_of(&need.words))),
            );
        }
        let lacking = self.keys.iter().filter(|key| is_missing("GET", key) || is_missing("SET", key));
        let patterns = lacking.map(|key| commands::pattern_of(role, self.namespace, key));
        let patterns: BTreeSet<_> = patterns.filter(|_| keys_of_user == KeysOfUser::Some).collect();
        // A selector: the server refuses a pattern of the user's own if the user has all channels.
        let on_channels = self.is_deaf.then(|| {
            let commands =
                commands::on_channel(role, "x").iter().map(|words| format!(" +{}", rule_of(words))).collect::<String>();
            format!("(resetchannels {}{commands})", commands::channels(self.namespace))
        });
        Some(patterns.into_iter().chain(granted).chain(on_channels).collect::<Vec<_>>().join(" "))
    }
}

/// A selector with everything that the role needs: it is valid whatever other rights the user has.
fn all_rules(visit: &Visit<'_>, namespace: &Namespace) -> String {
    format!("({})", commands::rules(visit.role(), namespace, visit.database != 0))
}

async fn too_wide(draft: &Draft, visit: &Visit<'_>) -> Option<Finding> {
    let lines: Vec<Vec<&str>> = TOO_WIDE.iter().map(|line| line.split(' ').collect()).collect();
    let asked: Vec<&[&str]> = lines.iter().map(Vec::as_slice).collect();
    let lacking = visit.probe.lacks_permission(&asked).await.known()?;
    let allowed: Vec<_> =
        lines.iter().enumerate().filter(|(index, _)| !lacking.contains(index)).map(|(_, line)| line).collect();
    let user = visit.connection.user();
    let names = allowed.iter().map(|line| name_of(line)).collect::<Vec<_>>().join(", ");
    let rules = allowed.iter().map(|line| format!("-{}", rule_of(line)));
    let databases = too_many_databases(draft, visit).await;
    let texts = [
        (!allowed.is_empty()).then(|| format!("may run {names}")),
        databases.is_some().then(|| "may use the databases of other services".to_owned()),
    ];
    let texts: Vec<_> = texts.into_iter().flatten().collect();
    if texts.is_empty() {
        return None;
    }
    let rules = rules.chain(databases).collect::<Vec<_>>().join(" ");
    let finding = visit.finding(Code::AclTooWide, format!("the user {user} {}", texts.join(" and ")));
    Some(match user {
        // administrators would lock themselves out
        "default" => {
            let finding = visit.connection.fill(finding.with_remedy_of(Code::DefaultUser));
            finding.with_help("<rules>", &draft.rules(visit.connection))
        }
        _ => finding.with_help("<rules>", &rules),
    })
}

/// The rules that restrict this user to the databases of its service, unless it is restricted already. Valkey can restrict a user
/// to databases from 9.1 on, and enforces that without gaps from 9.1.1 on.
async fn too_many_databases(draft: &Draft, visit: &Visit<'_>) -> Option<String> {
    let version = visit.info.valkey_version.as_deref().and_then(version_of)?;
    if visit.role() != Role::Cache || version < (9, 1, 1) {
        return None;
    }
    // Database 0 has the marks of the server.
    let own: BTreeSet<u32> = [Some(0), draft.database, draft.shared_database].into_iter().flatten().collect();
    let foreign = (0..=MAX_DATABASE).find(|number| !own.contains(number))?.to_string();
    let may_select = visit.probe.may(&["SELECT", &foreign]).await.known()?;
    let numbers: Vec<_> = own.iter().map(ToString::to_string).collect();
    may_select.then(|| format!("resetdbs db={}", numbers.join(",")))
}
