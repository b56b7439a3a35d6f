//! Reading fields of a webhook's JSON, which may have any shape.

use serde_json::Value;

use super::hint::WebhookHint;

/// A webhook that is none of those that this kind of sender is documented to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownShape;

/// What a webhook tells: no hints if it is about something else.
pub(super) type Told = Result<Vec<WebhookHint>, UnknownShape>;

/// A text at a path such as `/repository/name`.
pub(super) fn text<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    value.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A text that must be there.
pub(super) fn needed<'v>(value: &'v Value, path: &str) -> Result<&'v str, UnknownShape> {
    text(value, path).ok_or(UnknownShape)
}

/// A list at a path; empty if there is none.
pub(super) fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether a text is one of these words, in any case.
pub(super) fn is_one(text: Option<&str>, words: &[&str]) -> bool {
    text.is_some_and(|text| words.iter().any(|word| word.eq_ignore_ascii_case(text)))
}

/// A Git repository by all addresses that the sender gives for it, of which at least one must be there.
pub(super) fn repository(value: &Value, paths: &[&str]) -> Told {
    let hints: Vec<_> = paths.iter().filter_map(|path| text(value, path)).filter_map(WebhookHint::repository).collect();
    if hints.is_empty() { Err(UnknownShape) } else { Ok(hints) }
}

/// The host of an address, with its port.
pub(super) fn host(address: &str) -> Option<&str> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!host.is_empty()).then_some(host)
}
