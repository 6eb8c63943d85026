//! From variables to settings: every problem is reported, and none hides another.

mod connection;
mod credentials;
mod durability;
mod retention;
mod url;
mod value;

pub(crate) use credentials::credentials;
pub(crate) use durability::DurabilityVariables;
pub(crate) use retention::RetentionVariables;
use store_core::{Namespace, Role, ServiceName};
pub use value::parse_duration;

use crate::draft::Draft;
use crate::settings::{Engine, PreflightMode};
use crate::variable::{
    CACHE_DB, CACHE_SHARED_DB, ENVIRONMENT, LAYOUTS, PREFLIGHT, PREFLIGHT_ALLOW, SERVICE_NAME, STATE_MIN_REPLICAS,
    STATE_NAMESPACE, default_of,
};
use crate::{Code, Environment, Finding};

/// Reads one environment and collects its problems.
struct Reader<'a> {
    environment: &'a Environment,
    findings: Vec<Finding>,
    is_broken: bool,
}

pub(crate) fn read(environment: &Environment) -> (Draft, Vec<Finding>) {
    let mut reader = Reader { environment, findings: Vec::new(), is_broken: false };
    for name in environment.unreadable() {
        reader.broken(Finding::new(Code::ConfInvalid, None, format!("{name} is not valid UTF-8")));
    }
    for name in environment.quoted() {
        let what = format!(
            "{name} begins and ends with a quote: docker keeps the quotes of an env file as part of the value; remove them"
        );
        reader.broken(Finding::new(Code::ConfInvalid, None, what));
    }
    for suspect in environment.suspects() {
        reader.findings.push(Finding::new(Code::VariableMistyped, None, suspect.to_string()));
    }
    let service = reader.named(SERVICE_NAME, ServiceName::new);
    if service.is_none() && environment.get(SERVICE_NAME).is_none() {
        reader.broken(Finding::new(Code::ConfInvalid, None, "SERVICE_NAME is not set"));
    }
    let cache = reader.cache();
    let state = reader.state();
    let is_embedded = matches!(cache, Some(Engine::Embedded(_)));
    let database = if is_embedded { None } else { reader.own_database() };
    let min_replicas = reader.number(STATE_MIN_REPLICAS, Some(Role::State), 0..=16);
    let mut draft = Draft {
        service,
        cache,
        database,
        shared_database: if is_embedded { None } else { reader.database(CACHE_SHARED_DB) },
        state,
        namespace: reader.named(STATE_NAMESPACE, Namespace::new),
        min_replicas,
        durabilities: reader.durabilities(min_replicas),
        retention: reader.retention(),
        environment: reader.environment_name(),
        newest_layouts: reader.newest_layouts(),
        preflight: reader.preflight(),
        allow: reader.allow(),
        is_broken: false,
    };
    if let Some(number) = draft.database.filter(|_| draft.database == draft.shared_database) {
        let what = format!("REDIS_CACHE_DB and REDIS_CACHE_SHARED_DB are both {number}");
        reader.findings.push(Finding::new(Code::DatabaseNumberTaken, Role::Cache, what));
    }
    draft.is_broken = reader.is_broken;
    (draft, reader.findings)
}

impl Reader<'_> {
    /// A finding that makes the settings unusable.
    fn broken(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.is_broken = true;
    }

    /// The value of a variable, or its default.
    fn value(&self, name: &str) -> Option<String> {
        self.environment.get(name).or_else(|| default_of(name).map(str::to_owned))
    }

    /// A variable that must be a valid name.
    fn named<T>(&mut self, name: &str, new: impl Fn(String) -> Result<T, store_core::NameError>) -> Option<T> {
        match new(self.value(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                let role = (name == STATE_NAMESPACE).then_some(Role::State);
                self.broken(Finding::new(Code::ConfInvalid, role, format!("{name}: {error}")));
                None
            }
        }
    }

    fn own_database(&mut self) -> Option<u32> {
        if self.environment.get(CACHE_DB).is_none() {
            self.broken(Finding::new(Code::DatabaseNumberMissing, Role::Cache, "REDIS_CACHE_DB is not set"));
            return None;
        }
        self.database(CACHE_DB)
    }

    fn database(&mut self, name: &str) -> Option<u32> {
        let number = value::number(&self.value(name)?).filter(|number| *number <= redis_link::MAX_DATABASE);
        if number.is_none() {
            let what = format!("{name} is not a number from 0 to {}", redis_link::MAX_DATABASE);
            self.broken(Finding::new(Code::DatabaseNumberOutOfRange, Role::Cache, what));
        }
        number
    }

    fn environment_name(&mut self) -> Option<String> {
        let name = self.value(ENVIRONMENT)?;
        let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
        if name.len() <= 64 && name.chars().all(allowed) {
            return Some(name);
        }
        let what = format!("{ENVIRONMENT} is not 1 to 64 of ASCII letters, digits and . _ -");
        self.broken(Finding::new(Code::ConfInvalid, None, what));
        None
    }

    fn preflight(&mut self) -> PreflightMode {
        match self.value(PREFLIGHT).as_deref() {
            Some("warn") => return PreflightMode::Warn,
            Some("enforce") | None => {}
            Some(_) => {
                let what = format!("{PREFLIGHT} is neither enforce nor warn");
                self.broken(Finding::new(Code::ConfInvalid, None, what));
            }
        }
        PreflightMode::Enforce
    }

    /// Whether the newest layouts are written, if the variable is set.
    fn newest_layouts(&mut self) -> Option<bool> {
        match self.environment.get(LAYOUTS).as_deref() {
            Some("newest") => Some(true),
            Some("oldest") => Some(false),
            None => None,
            Some(_) => {
                let what = format!("{LAYOUTS} is neither oldest nor newest");
                self.broken(Finding::new(Code::ConfInvalid, None, what));
                None
            }
        }
    }

    fn allow(&mut self) -> std::collections::BTreeSet<Code> {
        let list = self.value(PREFLIGHT_ALLOW).unwrap_or_default();
        let mut allowed = std::collections::BTreeSet::new();
        for (index, name) in list.split(',').map(str::trim).enumerate().filter(|(_, name)| !name.is_empty()) {
            match name.parse::<Code>() {
                Ok(code) => {
                    allowed.insert(code);
                }
                Err(error) => {
                    let what = format!("{PREFLIGHT_ALLOW}: entry {} is {error}", index + 1);
                    self.broken(Finding::new(Code::ConfInvalid, None, what));
                }
            }
        }
        allowed
    }
}
