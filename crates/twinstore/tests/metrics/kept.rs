//! A recorder that keeps what it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// The name of a metric, and the values of its labels.
type Identity = (String, Vec<String>);

/// One metric: its type, the names of its labels, and its value. The value of a histogram is the number of its records.
pub(crate) struct Metric {
    pub(crate) kind: &'static str,
    pub(crate) labels: Vec<String>,
    value: f64,
}

/// Keeps all metrics of the process.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    metrics: Arc<Mutex<BTreeMap<Identity, Metric>>>,
    described: Arc<Mutex<BTreeSet<String>>>,
}

struct Handle {
    kept: Kept,
    identity: Identity,
}

impl Handle {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut metrics = self.kept.metrics.lock().unwrap();
        let metric = metrics.get_mut(&self.identity).unwrap();
        metric.value = change(metric.value);
    }
}

impl CounterFn for Handle {
    fn increment(&self, by: u64) {
        self.change(|value| value + by as f64);
    }

    fn absolute(&self, to: u64) {
        self.change(|_| to as f64);
    }
}

impl GaugeFn for Handle {
    fn increment(&self, by: f64) {
        self.change(|value| value + by);
    }

    fn decrement(&self, by: f64) {
        self.change(|value| value - by);
    }

    fn set(&self, to: f64) {
        self.change(|_| to);
    }
}

impl HistogramFn for Handle {
    fn record(&self, _: f64) {
        self.change(|count| count + 1.0);
    }
}

impl Kept {
    fn handle(&self, kind: &'static str, key: &Key) -> Arc<Handle> {
        let values = key.labels().map(|label| label.value().to_owned()).collect();
        let labels = key.labels().map(|label| label.key().to_owned()).collect();
        let identity = (key.name().to_owned(), values);
        let metric = Metric { kind, labels, value: 0.0 };
        self.metrics.lock().unwrap().entry(identity.clone()).or_insert(metric);
        Arc::new(Handle { kept: self.clone(), identity })
    }

    /// The value of the metric whose labels have these values; 0 if there is none.
    pub(crate) fn value(&self, name: &str, labels: &[&str]) -> f64 {
        let identity = (name.to_owned(), labels.iter().map(|label| (*label).to_owned()).collect());
        self.metrics.lock().unwrap().get(&identity).map_or(0.0, |metric| metric.value)
    }

    /// The names of the metrics with a value other than 0.
    pub(crate) fn emitted(&self) -> BTreeSet<String> {
        let metrics = self.metrics.lock().unwrap();
        metrics.iter().filter(|(_, metric)| metric.value != 0.0).map(|((name, _), _)| name.clone()).collect()
    }

    /// The names of the metrics that were described.
    pub(crate) fn described(&self) -> BTreeSet<String> {
        self.described.lock().unwrap().clone()
    }

    /// Calls `check` with the name of each metric, and the metric.
    pub(crate) fn each(&self, mut check: impl FnMut(&str, &Metric)) {
        self.metrics.lock().unwrap().iter().for_each(|((name, _), metric)| check(name, metric));
    }

    fn describe(&self, name: &KeyName) {
        self.described.lock().unwrap().insert(name.as_str().to_owned());
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.handle("counter", key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.handle("gauge", key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.handle("histogram", key))
    }
}
