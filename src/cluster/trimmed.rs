//! An object of a list or a watch, trimmed as soon as it is parsed.
//!
//! Promise: only the [`Object`], its name and its version are kept from the JSON. An object that is invalid, too large
//! or unreadable is reported, and the others in its list are read. Pure.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kube::api::ApiResource;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::object;
use super::page::{MAX_OBJECT, ObjectText};
use super::snapshot::Name;
use crate::model::observation::Object;

/// Maximum number of values in one text: parsed, a value takes up to forty times its written size.
const MAX_VALUES: usize = 400_000;

/// An object of a list or a watch.
#[derive(Debug, Clone)]
pub(super) struct TrimmedObject {
    pub(super) name: Name,
    pub(super) version: String,
    pub(super) object: Result<Box<Object>, String>,
}

impl TrimmedObject {
    /// Reads the text of an object of this kind.
    pub(super) fn of_text(resource: &ApiResource, text: ObjectText<'_>) -> Self {
        parsed(text).map_or_else(|reason| Self::unread(Glance::at(text), reason), |value| Self::of(resource, &value))
    }

    /// Reads an object of this kind.
    pub(super) fn of(resource: &ApiResource, value: &Value) -> Self {
        let read = guarded(|| object::read_as(&resource.api_version, &resource.kind, value));
        let object = read.and_then(|read| read.map(Box::new).map_err(|error| error.to_string()));
        let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
        Self { name: (text("namespace").into(), text("name").into()), version: text("resourceVersion"), object }
    }

    /// An object of which only the beginning is known.
    pub(super) fn unread(glance: Glance, reason: String) -> Self {
        let Glance { namespace, name, version, .. } = glance;
        Self { name: (namespace.into(), name.into()), version, object: Err(reason) }
    }
}

/// The parsed text, or why it is not read.
pub(super) fn parsed(text: ObjectText<'_>) -> Result<Value, String> {
    let text = match text {
        ObjectText::Whole(text) => text,
        ObjectText::Cut(_) => return Err(format!("it is larger than {} MiB", MAX_OBJECT / 1024 / 1024)),
    };
    // Every value but the first in its list or map follows a comma, and every list or map has a bracket.
    let values = text.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if values > MAX_VALUES {
        return Err(format!("it has more than {MAX_VALUES} values"));
    }
    serde_json::from_slice(text).map_err(|error| format!("it is not readable JSON: {error}"))
}

/// Runs the reading of one object, so that a bug there costs only that object.
fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| "reading it failed because of a bug in the bot".to_owned())
}

/// What the beginning of an object, or of a change to one, reveals.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Glance {
    /// For a change: `ADDED`, `MODIFIED`, …
    pub(super) change: String,
    namespace: String,
    name: String,
    version: String,
}

impl Glance {
    pub(super) fn at(text: ObjectText<'_>) -> Self {
        let (ObjectText::Whole(text) | ObjectText::Cut(text)) = text;
        let mut glance = Self::default();
        // Everything before the place where it breaks off has been recorded.
        let seen =
            Part { glance: &mut glance, within: "" }.deserialize(&mut serde_json::Deserializer::from_slice(text));
        drop(seen);
        glance
    }
}

/// A map on the path to an object's name: a change, an object or its metadata.
struct Part<'g> {
    glance: &'g mut Glance,
    within: &'static str,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { glance, within } = self;
        while let Some(key) = map.next_key::<String>()? {
            match (within, key.as_str()) {
                ("", "type") if glance.change.is_empty() => glance.change = map.next_value()?,
                ("", "object") => map.next_value_seed(Part { glance: &mut *glance, within: "" })?,
                ("", "metadata") => map.next_value_seed(Part { glance: &mut *glance, within: "metadata" })?,
                ("metadata", "namespace") => glance.namespace = map.next_value()?,
                ("metadata", "name") => glance.name = map.next_value()?,
                ("metadata", "resourceVersion") => glance.version = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployments() -> ApiResource {
        ApiResource {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_name_where_it_has_one() {
        let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        for (text, expected) in [
            (r#"{"metadata":{"namespace":"web","name":"api"},"spec":{"replicas":"no"}}"#, "apps/v1 Deployment web/api"),
            (r#"{"metadata":{"namespace":"web","name":null}}"#, "web/: its metadata.name is missing or not a string"),
            (r#""a text""#, "/: it is no object"),
            ("null", "/: it is no object"),
            (
                &format!(r#"{{"metadata":{{"name":"deep","namespace":"web"}},"spec":{nested}}}"#),
                "web/deep: it is not readable JSON: recursion limit exceeded at line 1 column 180",
            ),
            (
                &format!(
                    r#"{{"metadata":{{"annotations":{{"a":"b"}},"name":"many","namespace":"web"}},"spec":{many}}}"#
                ),
                "web/many: it has more than 400000 values",
            ),
        ] {
            let read = TrimmedObject::of_text(&deployments(), ObjectText::Whole(text.as_bytes()));
            let told = match &read.object {
                Ok(object) => {
                    format!("{} {} {}", object.api_version, object.kind, object.label().replace("Deployment ", ""))
                }
                Err(reason) => format!("{}/{}: {reason}", read.name.0, read.name.1),
            };
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn the_beginning_of_a_change_says_what_it_is_about() {
        let text = r#"{"type":"MODIFIED","object":{"kind":"Deployment","metadata":{"name":"big","namespace":"team-a",
            "resourceVersion":"17","annotations":{"x":"yyy"#;
        let glance = Glance::at(ObjectText::Cut(text.as_bytes()));
        assert_eq!(glance.change, "MODIFIED");
        let unread = TrimmedObject::unread(glance, "too large".to_owned());
        assert_eq!((&*unread.name.0, &*unread.name.1, unread.version.as_str()), ("team-a", "big", "17"));
    }

    #[test]
    fn a_panic_while_an_object_is_read_is_told_of_that_object() {
        let told = guarded(|| -> u8 { panic!("on purpose") }).unwrap_err();
        assert!(told.contains("a bug in the bot"), "{told}");
        assert_eq!(guarded(|| 1), Ok(1));
    }
}
