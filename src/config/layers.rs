//! File, environment and flags laid over the defaults, each value with its origin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::{Table, Value};
use zeroize::Zeroize as _;

use super::check::{Checker, ConfigError, Origin, Problem};
use super::{MasterKeyPlaces, Settings, Shape};

const VARIABLE_PREFIX: &str = "MUSTER_";

/// The value that may hold a password; `section.key`, and the section for whoever wrote it in its place.
const SECRETS: [&str; 2] = ["store", "store.url"];

/// What a configuration is made of, so that tests need neither files nor the process environment. No `Debug`:
/// file and environment may hold secrets.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Path and text of the file, if one was named.
    pub file: Option<(PathBuf, String)>,
    /// The process environment; what does not start with `MUSTER_` is not looked at.
    pub environment: Vec<(String, String)>,
    /// Flag with its dashes, key (`enroll.listen`), text.
    pub flags: Vec<(&'static str, &'static str, String)>,
    /// Taken over as they are; no key of the file names them.
    pub master_key: MasterKeyPlaces,
}

/// A configuration that was accepted.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Variables that look like ours but name no key. Not an error: container platforms make such
    /// names by themselves (`MUSTER_ENROLL_SERVICE_HOST` for a service called `muster-enroll`).
    pub unknown_variables: Vec<String>,
    values: Table,
    origins: BTreeMap<String, Origin>,
}

impl Inputs {
    /// The named file, if any, and this process's environment.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn from_process(file: Option<&Path>) -> Result<Self, ConfigError> {
        let file = match file {
            None => None,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some((path.to_owned(), text)),
                Err(error) => {
                    let problem = Problem::Unreadable { path: path.to_owned(), reason: error.to_string() };
                    return Err(ConfigError { problems: vec![problem] });
                }
            },
        };
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let master_key = MasterKeyPlaces::from_variables(|name| std::env::var_os(name));
        Ok(Self { file, environment, flags: Vec::new(), master_key })
    }

    /// Lays the parts over each other and checks the result.
    ///
    /// # Errors
    /// Every problem found, at once.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut layers = Layers::new();
        if let Some((path, text)) = &self.file {
            layers.lay_file(path, text);
        }
        let unknown_variables = layers.lay_environment(&self.environment);
        for (flag, key, text) in &self.flags {
            layers.lay_text(key, text, Origin::Flag((*flag).to_owned()));
        }
        let Layers { mut values, origins, problems } = layers;
        let mut checker = Checker { origins: &origins, problems };
        // The layers only took values of the right type under known keys.
        let shape = Shape::deserialize(Value::Table(values.clone())).expect("the layers keep the shape");
        let settings = shape.check(&self.master_key, &mut checker);
        conceal(&mut values);
        match (settings, checker.problems) {
            (Some(settings), problems) if problems.is_empty() => {
                Ok(Loaded { settings, unknown_variables, values, origins })
            }
            (_, problems) => Err(ConfigError { problems }),
        }
    }
}

impl Loaded {
    /// The effective configuration as TOML, each line with where its value came from. Of `store.url` it
    /// says only whether it is set.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, name: &str, value: &Value| {
            let origin = self.origins.get(key).unwrap_or(&Origin::Default);
            text.push_str(&format!("{name} = {value} # {origin}\n"));
        };
        for (name, value) in self.values.iter().filter(|(_, value)| !value.is_table()) {
            line(name, name, value);
        }
        for (section, keys) in self.values.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
            let mut header = format!("\n[{section}]\n");
            for (name, value) in keys {
                line(&format!("{section}.{name}"), &format!("{}{name}", std::mem::take(&mut header)), value);
            }
        }
        text
    }
}

/// Leaves of a secret only that it is set.
fn conceal(values: &mut Table) {
    if let Some(Value::String(url)) = values.get_mut("store").and_then(|store| store.get_mut("url"))
        && !url.is_empty()
    {
        url.zeroize();
        url.push_str("...");
    }
}

/// The values so far. Starts as the defaults, so every known key is present with its type.
struct Layers {
    values: Table,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Layers {
    fn new() -> Self {
        let values = Table::try_from(Shape::default()).expect("the defaults are TOML");
        Self { values, origins: BTreeMap::new(), problems: Vec::new() }
    }

    fn lay_file(&mut self, path: &Path, text: &str) {
        let origin = Origin::File(path.to_owned());
        let file = match text.parse::<Table>() {
            Ok(file) => file,
            Err(error) => {
                let reason = syntax_error(text, &error);
                return self.problems.push(Problem::Syntax { path: path.to_owned(), reason });
            }
        };
        for (name, value) in file {
            match (self.values.get(&name), value) {
                (Some(Value::Table(_)), Value::Table(keys)) => {
                    for (key, value) in keys {
                        self.lay_value(&format!("{name}.{key}"), value, origin.clone());
                    }
                }
                (_, value) => self.lay_value(&name, value, origin.clone()),
            }
        }
    }

    /// Gives the variables that carry a section's prefix and name no key of it.
    fn lay_environment(&mut self, environment: &[(String, String)]) -> Vec<String> {
        let keys = self.keys();
        for key in &keys {
            let variable = variable_of(key);
            if let Some((_, text)) = environment.iter().find(|(name, _)| *name == variable) {
                self.lay_text(key, text, Origin::Environment(variable));
            }
        }
        let known: Vec<_> = keys.iter().map(|key| variable_of(key)).collect();
        let prefixes: Vec<_> = self
            .values
            .iter()
            .filter(|(_, value)| value.is_table())
            .map(|(section, _)| format!("{}_", variable_of(section)))
            .collect();
        let looks_like_ours = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        environment
            .iter()
            .filter(|(name, _)| looks_like_ours(name) && !known.contains(name))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// A text from the environment or a flag, read as the type of the key.
    fn lay_text(&mut self, key: &str, text: &str, origin: Origin) {
        let value = match self.slot(key) {
            Some(Value::Integer(_)) => text.trim().parse().ok().map(Value::Integer),
            Some(Value::Boolean(_)) => text.trim().parse().ok().map(Value::Boolean),
            Some(Value::Array(_)) => {
                let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
                Some(Value::Array(entries.map(|entry| Value::String(entry.to_owned())).collect()))
            }
            _ => None,
        };
        self.lay_value(key, value.unwrap_or_else(|| Value::String(text.to_owned())), origin);
    }

    fn lay_value(&mut self, key: &str, value: Value, origin: Origin) {
        let Some(slot) = self.slot(key) else {
            let accepted = self.accepted_beside(key);
            return self.problems.push(Problem::UnknownKey { key: key.to_owned(), origin, accepted });
        };
        if is_of_type_of(slot, &value) {
            *slot = value;
            self.origins.insert(key.to_owned(), origin);
        } else {
            let accepted = type_name(slot).to_owned();
            let found = if SECRETS.contains(&key) { "something else".to_owned() } else { value.to_string() };
            self.problems.push(Problem::Value { key: key.to_owned(), origin, found, accepted });
        }
    }

    fn slot(&mut self, key: &str) -> Option<&mut Value> {
        match key.split_once('.') {
            Some((section, name)) => self.values.get_mut(section)?.as_table_mut()?.get_mut(name),
            None => self.values.get_mut(key),
        }
    }

    /// All keys, `section.key`, without the sections themselves.
    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for (name, value) in &self.values {
            match value {
                Value::Table(section) => keys.extend(section.keys().map(|key| format!("{name}.{key}"))),
                _ => keys.push(name.clone()),
            }
        }
        keys
    }

    fn accepted_beside(&self, key: &str) -> Vec<String> {
        let section = key.split_once('.').and_then(|(section, _)| self.values.get(section)?.as_table());
        section.unwrap_or(&self.values).keys().cloned().collect()
    }
}

/// Where and what, without the line itself, as the reader's own text has it: it may be the one with the password.
fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

/// `enroll.listen` is `MUSTER_ENROLL_LISTEN`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.replace('.', "_").to_uppercase())
}

fn is_of_type_of(slot: &Value, value: &Value) -> bool {
    match (slot, value) {
        // All lists in the file are lists of texts.
        (Value::Array(_), Value::Array(entries)) => entries.iter().all(Value::is_str),
        (slot, value) => slot.same_type(value),
    }
}

fn type_name(slot: &Value) -> &'static str {
    match slot {
        Value::Array(_) => "a list of texts",
        Value::Boolean(_) => "true or false",
        Value::Integer(_) => "a whole number",
        Value::Table(_) => "a section",
        _ => "a text",
    }
}
