//! A subscriber that keeps the events and spans of workers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The fields of an event or of a span, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

/// A span: whether it is a root, and its fields.
#[derive(Debug, Clone)]
pub(crate) struct CapturedSpan {
    pub(crate) name: &'static str,
    pub(crate) is_root: bool,
    pub(crate) fields: Fields,
}

#[derive(Default)]
struct Kept {
    events: Vec<(Level, Fields)>,
    spans: BTreeMap<u64, CapturedSpan>,
}

/// What this thread has logged since [`Captured::begin`].
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Kept>>);

impl Captured {
    /// Captures what this thread logs until the guard is dropped.
    pub(crate) fn begin() -> (Self, DefaultGuard) {
        testkit::open_call_sites();
        let captured = Self::default();
        (captured.clone(), tracing_subscriber::registry().with(captured).set_default())
    }

    /// The events about deliveries: those that have an outcome.
    pub(crate) fn deliveries(&self) -> Vec<(Level, Fields)> {
        let events = self.0.lock().unwrap();
        events.events.iter().filter(|(_, fields)| fields.get("outcome").is_some()).cloned().collect()
    }

    /// The events of this level.
    pub(crate) fn of_level(&self, level: Level) -> Vec<Fields> {
        let events = self.0.lock().unwrap();
        events.events.iter().filter(|(of, _)| *of == level).map(|(_, fields)| fields.clone()).collect()
    }

    pub(crate) fn spans(&self) -> Vec<CapturedSpan> {
        self.0.lock().unwrap().spans.values().cloned().collect()
    }
}

impl<S: Subscriber> Layer<S> for Captured {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().events.push((*event.metadata().level(), fields));
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let (name, is_root) = (attributes.metadata().name(), attributes.is_root());
        self.0.lock().unwrap().spans.insert(id.into_u64(), CapturedSpan { name, is_root, fields });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(span) = self.0.lock().unwrap().spans.get_mut(&id.into_u64()) {
            values.record(&mut span.fields);
        }
    }
}
