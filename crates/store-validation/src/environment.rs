//! The source of settings: a set of variables of this process, of a file, or of a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use config::Config;

use crate::EnvFileError;
use crate::env_file;
use crate::variable::{is_known, is_suspect};

/// A set of environment variables. Of variables outside the table only the name is kept. `Debug` shows names, never
/// values.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::Stores;
/// use twinstore::config::Environment;
///
/// let environment = Environment::from_variables([
///     ("SERVICE_NAME", "billing"),
///     ("REDIS_CONN_BASE_URL", "embedded:"),
///     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
/// ]);
/// let stores = Stores::open(&environment).await?;
/// assert_eq!(stores.service().as_str(), "billing");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Environment {
    values: Config,
    names: BTreeSet<String>,
    unreadable: BTreeSet<String>,
}

/// A variable whose name looks like a mistyped one of ours. It is ignored and reported as the finding
/// `variable-mistyped`, a warning, because it may belong to other software.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SuspectVariable {
    /// Its name.
    pub name: String,
    /// The variable that was probably meant.
    pub nearest: Option<&'static str>,
}

impl fmt::Display for SuspectVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is unknown and is ignored", self.name)?;
        self.nearest.map_or(Ok(()), |nearest| write!(f, "; did you mean {nearest}?"))
    }
}

impl Environment {
    /// The variables of this process: the only place that reads them.
    pub fn from_process() -> Self {
        let mut unreadable = BTreeSet::new();
        let variables: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                match value.into_string() {
                    Ok(value) => Some((name, value)),
                    Err(_) => {
                        unreadable.extend(is_known(&name).then_some(name));
                        None
                    }
                }
            })
            .collect();
        Self { unreadable, ..Self::from_variables(variables) }
    }

    /// Only the variables of a file or a pipe.
    ///
    /// Each line has one `NAME=value`, and the value is everything after `=`, taken literally. Empty lines and lines that
    /// begin with `#` are skipped. Quotes around a value, `\`, `$`, blanks around a value, a comment after it, `export` and
    /// values over several lines are refused, because `docker run --env-file`, Compose and systemd read them differently.
    /// The file is UTF-8, with or without a byte order mark, and at most 1 MiB.
    ///
    /// # Errors
    /// [`EnvFileError`] if the file cannot be read or has another form; it names the line and what to write instead, and
    /// never repeats a value.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, EnvFileError> {
        env_file::read(path.as_ref()).map(Self::from_variables)
    }

    /// These variables, and no others. If a name occurs twice, its last value counts. A variable with an empty value is
    /// not set.
    pub fn from_variables<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let all: BTreeMap<String, String> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let names = all.keys().cloned().collect();
        let known = all.into_iter().filter(|(name, _)| is_known(name)).collect();
        let source = config::Environment::default().source(Some(known)).ignore_empty(true);
        let values = Config::builder().add_source(source).build();
        Self { values: values.expect("invariant: names from our table and texts"), names, unreadable: BTreeSet::new() }
    }

    /// The value of a variable of the table; `None` if it is not set or empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.values.get_string(&name.to_lowercase()).ok()
    }

    /// Variables of the table whose values are not UTF-8.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = &str> {
        self.unreadable.iter().map(String::as_str)
    }

    /// Variables of the table whose values are in quotes. The quotes are part of the value, and no valid value has them.
    pub(crate) fn quoted(&self) -> impl Iterator<Item = &str> {
        let is_quoted = |value: &str| {
            ['"', '\''].iter().any(|quote| value.len() > 1 && value.starts_with(*quote) && value.ends_with(*quote))
        };
        let known = self.names.iter().filter(|name| is_known(name)).map(String::as_str);
        known.filter(move |name| self.get(name).is_some_and(|value| is_quoted(&value)))
    }

    /// The variables that are probably mistyped names of ours.
    pub fn suspects(&self) -> Vec<SuspectVariable> {
        let suspect = |name: &String| Some(SuspectVariable { name: name.clone(), nearest: is_suspect(name)? });
        self.names.iter().filter_map(suspect).collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment")
            .field(&self.names.iter().filter(|name| is_known(name)).collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;

    #[test]
    fn an_empty_variable_is_not_set_and_the_last_of_two_counts() {
        let environment =
            Environment::from_variables([("SERVICE_NAME", "a"), ("SERVICE_NAME", "b"), ("REDIS_CACHE_DB", "")]);
        assert_eq!(environment.get("SERVICE_NAME").as_deref(), Some("b"));
        assert_eq!(environment.get("REDIS_CACHE_DB"), None);
    }

    #[test]
    fn values_are_kept_unchanged_and_never_printed() {
        let environment =
            Environment::from_variables([("REDIS_CONN_BASE_URL", " redis://:Canary[0].x@h "), ("HOME", "/")]);
        assert_eq!(environment.get("REDIS_CONN_BASE_URL").as_deref(), Some(" redis://:Canary[0].x@h "));
        assert_eq!(format!("{environment:?}"), r#"Environment(["REDIS_CONN_BASE_URL"])"#);
    }
}
