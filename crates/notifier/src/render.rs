//! What a delivery reads like to a person.

use serde::Serialize;
use serde_json::Value;

use crate::delivery::Webhook;

/// The longest text of a notification, in characters.
const MAX_TEXT: usize = 240;

/// One notification: what the sinks write, as one line of JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Notification<'a> {
    /// The delivery's id.
    pub(crate) id: &'a str,
    /// The event's name.
    pub(crate) event: &'a str,
    /// The repository it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repository: Option<&'a str>,
    /// One sentence.
    pub(crate) text: String,
}

/// The notification of a delivery.
pub(crate) fn render(fields: &Webhook) -> Notification<'_> {
    let who = text_at(fields, &["sender", "login"]);
    let mut text = who.map_or_else(String::new, |who| format!("{who}: "));
    text.push_str(&fields.event.replace('_', " "));
    if let Some(action) = &fields.action {
        text.push_str(&format!(" {}", action.replace('_', " ")));
    }
    if let Some(what) = subject(fields) {
        text.push_str(&format!(" \u{201c}{what}\u{201d}"));
    }
    if let Some(repository) = fields.repository() {
        text.push_str(&format!(" in {repository}"));
    }
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push('\u{2026}');
    }
    Notification { id: &fields.id, event: &fields.event, repository: fields.repository(), text }
}

/// The title or name of what the event is about, which is the part of the payload that has the event's name; else the
/// reference that was pushed.
fn subject(fields: &Webhook) -> Option<&str> {
    let event = fields.event.as_str();
    let first_word = event.split('_').next().unwrap_or(event);
    let part = [event, event.trim_end_matches('s'), first_word].into_iter().find_map(|name| fields.payload.get(name));
    let named =
        part.and_then(|part| ["title", "name", "tag_name", "login"].iter().find_map(|name| part.get(name)?.as_str()));
    named.or_else(|| fields.payload.get("ref").and_then(Value::as_str))
}

fn text_at<'a>(fields: &'a Webhook, path: &[&str]) -> Option<&'a str> {
    let mut value = fields.payload.get(*path.first()?)?;
    for field in &path[1..] {
        value = value.get(field)?;
    }
    value.as_str()
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn a_notification_names_who_what_and_where() {
        let fields = serde_json::from_str(
            r#"{"id":"1","event":"issues","action":"opened","payload":
            {"issue":{"title":"Broken"},"repository":{"full_name":"o/r"},"sender":{"login":"ann"}}}"#,
        )
        .unwrap();
        assert_eq!(render(&fields).text, "ann: issues opened \u{201c}Broken\u{201d} in o/r");
    }
}
