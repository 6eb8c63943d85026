//! What the user may do, against what the role sends.

use redis_link::Fact;
use store_core::Role;

use super::visit::Visit;
use crate::commands::{self, TOO_WIDE};
use crate::draft::Draft;
use crate::{Code, Finding};

pub(super) async fn check(draft: &Draft, visit: &Visit<'_>) -> Vec<Finding> {
    if visit.is_kvrocks() {
        // it has no ACLs
        return Vec::new();
    }
    let mut needed = Vec::new();
    // a namespace that could not be read is told; which keys it would have is not known
    let keys = draft.namespace.as_ref().map(|namespace| commands::sample_keys(visit.role(), namespace));
    for key in keys.unwrap_or_default() {
        needed.extend(commands::of_role(visit.role(), &key).into_iter().map(|words| (words, key.clone())));
    }
    if visit.role() == Role::State && visit.database != 0 {
        needed.push((vec!["SELECT".to_owned(), visit.database.to_string()], String::new()));
    }
    let findings = [missing(visit, &needed).await, too_wide(visit).await];
    findings.into_iter().flatten().collect()
}

async fn missing(visit: &Visit<'_>, needed: &[(Vec<String>, String)]) -> Option<Finding> {
    let lines: Vec<Vec<&str>> = needed.iter().map(|(words, _)| words.iter().map(String::as_str).collect()).collect();
    let lines: Vec<&[&str]> = lines.iter().map(Vec::as_slice).collect();
    let places = match visit.probe.lacks_permission(&lines).await {
        Fact::Known(places) => places,
        Fact::Unknown(why) => return Some(visit.finding(Code::AclUnknown, why)),
    };
    if places.is_empty() {
        return None;
    }
    let user = visit.connection.user();
    if places.len() == needed.len() {
        let what = format!("the user {user} may not run scripts: EVALSHA, SCRIPT LOAD");
        return Some(visit.finding(Code::AclMissingCommand, what));
    }
    let lacking: Vec<_> = places.iter().filter_map(|place| needed.get(*place)).collect();
    let is_keyed = |(words, key): &(Vec<String>, String)| words.contains(key);
    let lacks_key = |key: &String| {
        let of_key = |entry: &&(Vec<String>, String)| is_keyed(entry) && entry.1 == *key;
        lacking.iter().copied().filter(of_key).count() == needed.iter().filter(of_key).count()
    };
    let mut texts = Vec::new();
    for (words, key) in &lacking {
        let text = if words.contains(key) && lacks_key(key) {
            format!("anything on keys such as {key}")
        } else {
            commands::name_of(words)
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let what = format!("the user {user} may not run: {}", texts.join(", "));
    Some(visit.finding(Code::AclMissingCommand, what))
}

async fn too_wide(visit: &Visit<'_>) -> Option<Finding> {
    let lines: Vec<Vec<&str>> = TOO_WIDE.iter().map(|line| line.split(' ').collect()).collect();
    let lines: Vec<&[&str]> = lines.iter().map(Vec::as_slice).collect();
    let lacking = visit.probe.lacks_permission(&lines).await.known()?;
    let names = TOO_WIDE.iter().enumerate().filter(|(place, _)| !lacking.contains(place));
    let names: Vec<_> =
        names.map(|(_, line)| line.split(" max").next().unwrap_or(line).trim_end_matches(" *")).collect();
    let what = format!("the user {} may run {}", visit.connection.user(), names.join(", "));
    (!names.is_empty()).then(|| visit.finding(Code::AclTooWide, what))
}
