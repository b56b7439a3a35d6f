//! Label and field selectors.

use serde_json::Value;

/// One requirement of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Equals(String, String),
    Differs(String, String),
    Exists(String),
}

/// The selectors of a list or watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LabelSelection {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

impl LabelSelection {
    /// Parses both; `None` for a set-based label selector (`in`, `notin`), which is not supported.
    pub(super) fn parse(labels: Option<&str>, fields: Option<&str>) -> Option<Self> {
        Some(Self { labels: requirements(labels)?, fields: requirements(fields)? })
    }

    pub(super) fn takes(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|requirement| holds(requirement, |key| labels.get(key)))
            && self.fields.iter().all(|requirement| holds(requirement, |key| field(object, key)))
    }
}

fn requirements(text: Option<&str>) -> Option<Vec<Requirement>> {
    let parts = text.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(requirement).collect()
}

fn requirement(text: &str) -> Option<Requirement> {
    let owned = |(key, value): (&str, &str)| (key.trim().to_owned(), value.trim().to_owned());
    if let Some((key, value)) = text.split_once("!=").map(owned) {
        return Some(Requirement::Differs(key, value));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')).map(owned) {
        return Some(Requirement::Equals(key, value));
    }
    (!text.contains([' ', '(', '!'])).then(|| Requirement::Exists(text.to_owned()))
}

fn holds<'a>(requirement: &Requirement, value: impl Fn(&str) -> Option<&'a Value>) -> bool {
    let text = |key: &str| value(key).and_then(Value::as_str).unwrap_or_default();
    match requirement {
        Requirement::Equals(key, wanted) => text(key) == wanted,
        Requirement::Differs(key, unwanted) => text(key) != unwanted,
        Requirement::Exists(key) => value(key).is_some(),
    }
}

fn field<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_take_what_they_name() {
        let object = serde_json::json!({
            "metadata": { "name": "web", "labels": { "app": "web" } },
            "involvedObject": { "kind": "Pod", "uid": "u-1" }
        });
        for (labels, fields, taken) in [
            ("", "", true),
            ("app=web", "", true),
            ("app==web", "metadata.name=web", true),
            ("app!=web", "", false),
            ("app", "", true),
            ("tier", "", false),
            ("", "involvedObject.uid=u-1,involvedObject.kind=Pod", true),
            ("", "involvedObject.uid=u-2", false),
        ] {
            let selection = LabelSelection::parse(Some(labels), Some(fields)).unwrap();
            assert_eq!(selection.takes(&object), taken, "{labels:?} {fields:?}");
        }
        assert_eq!(LabelSelection::parse(Some("app in (web)"), None), None);
    }
}
