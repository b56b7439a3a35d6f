//! A place in a JSON document that knows its path and records values of the wrong type.

use std::cell::RefCell;

use jiff::Timestamp;
use serde_json::Value;

/// Paths of fields of the wrong type.
pub(super) type Malformed = RefCell<Vec<String>>;

/// Maximum length of a text that is kept, in bytes. Kubernetes allows 32 KiB for the message of a condition.
const MAX_TEXT: usize = 32 << 10;
/// How much of that is taken from the end if something is left out: build tools put the cause last.
const TAIL: usize = 8 << 10;

/// Maximum depth of a path that is named completely.
const DEPTH: usize = 10;

/// A place that may hold a value. `null` counts as absent, as in Kubernetes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'v> {
    value: Option<&'v Value>,
    path: [&'static str; DEPTH],
    depth: usize,
    faults: Option<&'v Malformed>,
}

impl<'v> Field<'v> {
    /// The root of an object.
    pub(super) fn new(value: &'v Value, faults: &'v Malformed) -> Self {
        Self { value: Some(value), path: [""; DEPTH], depth: 0, faults: Some(faults) }
    }

    /// The same place, without recording wrong types below it.
    pub(super) fn quietly(mut self) -> Self {
        self.faults = None;
        self
    }

    /// A field.
    pub(super) fn get(self, key: &'static str) -> Self {
        let value = match self.value {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) => map.get(key).filter(|value| !value.is_null()),
            Some(_) => self.fault(),
        };
        self.below(key, value)
    }

    /// Whether there is anything but `null`, `{}`, `[]` and `""`.
    pub(super) fn is_filled(self) -> bool {
        match self.value {
            None | Some(Value::Null) => false,
            Some(Value::Object(map)) => !map.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Bool(_) | Value::Number(_)) => true,
        }
    }

    /// The raw value.
    pub(super) fn raw(self) -> Option<&'v Value> {
        self.value
    }

    /// A text; of one that is longer than anything that is judged, the beginning and the end. Whole numbers are converted to text: YAML reads an unquoted `1234567` as a number.
    pub(super) fn text(self) -> Option<String> {
        match self.value? {
            Value::String(text) => Some(bounded(text)),
            Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            Value::Null => None,
            _ => self.fault(),
        }
    }

    /// A text, or an empty one.
    pub(super) fn text_or_empty(self) -> String {
        self.text().unwrap_or_default()
    }

    /// A whole number.
    pub(super) fn int(self) -> Option<i64> {
        match self.value? {
            Value::Number(number) => number.as_i64().or_else(|| self.fault()),
            Value::Null => None,
            _ => self.fault(),
        }
    }

    /// A counter: absent means zero, because the API omits zeros.
    pub(super) fn count(self) -> i64 {
        self.int().unwrap_or(0)
    }

    /// A whole number, possibly written as text.
    pub(super) fn int_or_text(self) -> Option<i64> {
        match self.value? {
            Value::String(text) => text.trim().parse().ok().or_else(|| self.fault()),
            _ => self.int(),
        }
    }

    /// A flag: absent means `false`.
    pub(super) fn flag(self) -> bool {
        self.maybe_flag().unwrap_or(false)
    }

    /// A flag, if present.
    pub(super) fn maybe_flag(self) -> Option<bool> {
        match self.value? {
            Value::Bool(flag) => Some(*flag),
            Value::Null => None,
            _ => self.fault(),
        }
    }

    /// An RFC 3339 time.
    pub(super) fn time(self) -> Option<Timestamp> {
        match self.value? {
            Value::String(text) => text.parse().ok().or_else(|| self.fault()),
            Value::Null => None,
            _ => self.fault(),
        }
    }

    /// The items of a list.
    pub(super) fn items(self) -> impl Iterator<Item = Field<'v>> {
        let list: &[Value] = match self.value {
            None | Some(Value::Null) => &[],
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.fault::<()>();
                &[]
            }
        };
        list.iter().map(move |value| self.below("[]", Some(value)))
    }

    /// The items of a list of texts.
    pub(super) fn texts(self) -> Vec<String> {
        exact(self.items().filter_map(Field::text))
    }

    /// Records that this field has the wrong type.
    fn fault<T>(self) -> Option<T> {
        if let Some(faults) = self.faults {
            faults.borrow_mut().push(self.path[..self.depth.min(DEPTH)].join(".").replace(".[]", "[]"));
        }
        None
    }

    fn below(mut self, key: &'static str, value: Option<&'v Value>) -> Self {
        if self.depth < DEPTH {
            self.path[self.depth] = key;
            self.depth += 1;
        }
        self.value = value;
        self
    }
}

/// A text as it is kept.
fn bounded(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let (head, tail) = (text.floor_char_boundary(MAX_TEXT - TAIL), text.ceil_char_boundary(text.len() - TAIL));
    format!("{} … {}", &text[..head], &text[tail..])
}

/// A list without spare capacity: a watcher keeps tens of thousands of objects, and most of their lists have one entry.
pub(super) fn exact<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = items.collect();
    all.shrink_to_fit();
    all
}
