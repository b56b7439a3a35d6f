//! JSON Schemas of the two kinds of files, for editors: generated from the types that read them.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::yaml::Kind;
use super::{raw, raw_policy, yaml};

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The bot's configuration.
    Config,
    /// A policy file.
    Policy,
}

/// The JSON Schema (draft 2020-12) of a kind of file.
#[must_use]
pub fn schema(kind: FileKind) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = match kind {
        FileKind::Config => generator.into_root_schema_for::<raw::Config>(),
        FileKind::Policy => generator.into_root_schema_for::<raw_policy::PolicyFile>(),
    };
    let mut value = schema.to_value();
    without_null(&mut value);
    value
}

/// A key without a value is an error, so `null` is never allowed, although an optional field in Rust reads as "or
/// null".
fn without_null(schema: &mut Value) {
    let null = |kind: &Value| kind == "null" || kind.get("type").is_some_and(|kind| kind == "null");
    if let Value::Object(object) = schema {
        if let Some(Value::Array(kinds)) = object.get_mut("type") {
            kinds.retain(|kind| !null(kind));
            if let [only] = kinds.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| !null(choice));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                object.remove("anyOf");
                object.extend(only);
            }
        }
        object.values_mut().for_each(without_null);
    } else if let Value::Array(items) = schema {
        items.iter_mut().for_each(without_null);
    }
}

/// The kind of a file, by its top-level keys; `None` if it has the keys of neither, or is not YAML.
#[must_use]
pub fn kind_of(text: &str) -> Option<FileKind> {
    let Kind::Map(entries) = yaml::parse(text).ok()?.kind else { return None };
    let has = |name: &str| entries.iter().any(|(key, _)| key.text == name);
    match (has("repositories"), has("policies")) {
        (true, _) => Some(FileKind::Config),
        (false, true) => Some(FileKind::Policy),
        (false, false) => None,
    }
}
