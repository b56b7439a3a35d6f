//! Reading fields of a webhook's JSON, which may have any shape.

use serde_json::Value;

use super::hint::WebhookHint;
use crate::http;

/// A webhook that is none of those that this kind of sender is documented to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownShape;

/// What a webhook tells: no hints if it is about something else.
pub(super) type Told = Result<Vec<WebhookHint>, UnknownShape>;

/// The most values, and objects among them, of a body that is parsed: a push of 2,048 commits has some 40,000 and 7,000.
const MOST_VALUES: usize = 100_000;
const MOST_OBJECTS: usize = 20_000;

/// The deepest nesting that the parser reads.
const DEEPEST: usize = 128;

/// How much a JSON text is to parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// It can be parsed.
    Modest,
    /// It has too many values.
    Many,
    /// It is nested too deeply, as nothing is that is sent in earnest.
    Deep,
}

/// How much a JSON text is to parse.
pub(super) fn extent(text: &[u8]) -> Extent {
    let found = http::extent(text);
    match () {
        () if found.depth > DEEPEST => Extent::Deep,
        () if found.values <= MOST_VALUES && found.objects <= MOST_OBJECTS => Extent::Modest,
        () => Extent::Many,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_values_are_not_parsed_and_long_texts_are() {
        let all = |of: &str, count: usize| format!("[{}]", vec![of; count].join(","));
        for (text, expected) in [
            (all("1", 99_000), Extent::Modest),
            (all("1", 200_000), Extent::Many),
            (all("{}", 19_000), Extent::Modest),
            (all("{\"a\":{}}", 11_000), Extent::Many),
            (format!("{}{}", "[".repeat(128), "]".repeat(128)), Extent::Modest),
            ("[".repeat(129), Extent::Deep),
            (format!("[\"{}\\\"{}\"]", ",[{".repeat(1_000_000), ",{".repeat(100_000)), Extent::Modest),
            (format!("[\"\\\\\",{}]", all("{}", 30_000)), Extent::Many),
        ] {
            assert_eq!(extent(text.as_bytes()), expected, "{}", &text[..20]);
        }
    }
}
