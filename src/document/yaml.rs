//! From YAML text to a tree in which every value knows its place.
//!
//! serde-saphyr parses the text (and handles duplicate keys, aliases, merge keys and the limits against YAML bombs);
//! the tree keeps each plain scalar as written, so that `1.10` stays `1.10` whatever a YAML resolver makes of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{DefaultMessageFormatter, Location, MessageFormatter as _, Options, Spanned};

use super::fault::{Fault, Mark};

/// Maximum size of a file. Real ones have a few kilobytes.
const MAX_BYTES: usize = 1 << 20;
/// Maximum nesting; the contract needs eight levels.
const MAX_DEPTH: usize = 24;
/// Maximum number of nodes, with aliases expanded.
const MAX_NODES: usize = 100_000;

/// A value of a file.
#[derive(Debug)]
pub(crate) struct Node {
    /// A number that is unique within the file.
    pub(crate) id: usize,
    pub(crate) mark: Mark,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A scalar that is not null.
#[derive(Debug)]
pub(crate) struct Scalar {
    /// Its text; for a plain scalar, as written.
    pub(crate) text: String,
    /// Whether YAML reads it as a boolean or a number.
    pub(crate) typed: bool,
}

/// A key of a mapping.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) mark: Mark,
}

impl Node {
    /// The type of the value, for "expected …, found …". Never its text: that might be a secret.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Scalar(scalar) if !scalar.typed => "text",
            Kind::Scalar(scalar) if matches!(scalar.text.to_ascii_lowercase().as_str(), "true" | "false") => {
                "true or false"
            }
            Kind::Scalar(_) => "a number",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

/// Parses a file's text.
pub(crate) fn parse(text: &str) -> Result<Node, Fault> {
    if text.len() > MAX_BYTES {
        return Err(Fault::new(Mark::START, format!("the file is larger than {} KiB", MAX_BYTES / 1024)));
    }
    let raw: Spanned<Raw> =
        serde_saphyr::from_str_with_options(text, options()).map_err(|error| fault(text, &error))?;
    if let Raw::Null = raw.value {
        return Err(Fault::new(Mark::START, "the file is empty"));
    }
    let mut tree = Tree { text, count: 0 };
    Ok(tree.node(raw))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: 16,
        },
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
    }
}

/// The parser's error in our own words if it is ambiguous, otherwise in the parser's.
fn fault(text: &str, error: &serde_saphyr::Error) -> Fault {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let place = error.location();
    let aliased = matches!(error, Error::AliasError { .. });
    let error = if let Error::AliasError { error: inner, .. } = error { inner.without_snippet() } else { error };
    let mark = place.map_or(Mark::START, mark);
    let invalid = || Fault::new(mark, format!("not valid YAML: {}", DefaultMessageFormatter.format_message(error)));
    let quoted = "a value that starts with * or & must be quoted, as in \"*\"";
    match error {
        Error::MultipleDocuments { .. } => {
            Fault::new(mark, "there is more than one document in the file").hint("remove the `---` between them")
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(|| "a key".to_owned(), |key| format!("the key `{key}`"));
            Fault::new(mark, format!("{key} occurs twice")).hint("remove one of the two")
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Fault::new(
            mark,
            format!(
                "the file has more than {MAX_NODES} values, is nested deeper than {MAX_DEPTH} levels, or expands to more than that"
            ),
        ),
        Error::UnknownAnchor { .. } => invalid().hint(quoted),
        _ if aliased => invalid().hint(quoted),
        // The parser has no separate error for a name missing after one of the two.
        _ if place.is_some_and(|place| names_anchor(text, place)) => invalid().hint(quoted),
        _ => invalid(),
    }
}

/// Whether `*` or `&` is at this place or right before it.
fn names_anchor(text: &str, place: Location) -> bool {
    let offset = place.span().byte_offset().and_then(|offset| usize::try_from(offset).ok());
    let around = offset.and_then(|offset| text.get(..offset).zip(text.get(offset..)));
    around.is_some_and(|(before, after)| before.ends_with(['*', '&']) || after.starts_with(['*', '&']))
}

fn mark(location: Location) -> Mark {
    let number = |n: u64| usize::try_from(n).unwrap_or(1).max(1);
    let span = location.span();
    Mark { line: number(location.line()), column: number(location.column()), width: number(span.len()) }
}

/// Numbers the nodes and takes plain scalars from the text.
struct Tree<'a> {
    text: &'a str,
    count: usize,
}

impl Tree<'_> {
    fn node(&mut self, raw: Spanned<Raw>) -> Node {
        self.count += 1;
        let id = self.count;
        let place = raw.defined;
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::Text(text) => Kind::Scalar(Scalar { text, typed: false }),
            Raw::Typed(resolved) => {
                let text = self.written(place).map_or(resolved, str::to_owned);
                Kind::Scalar(Scalar { text, typed: true })
            }
            Raw::List(items) => Kind::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Kind::Map(entries.into_iter().map(|(key, value)| self.entry(key, value)).collect()),
        };
        Node { id, mark: mark(place), kind }
    }

    /// A key and its value. The place of a list or mapping below its key is that of the key, which is where a person
    /// would point.
    fn entry(&mut self, key: Spanned<String>, value: Spanned<Raw>) -> (Key, Node) {
        let key = Key { mark: mark(key.defined), text: key.value };
        let mut value = self.node(value);
        if matches!(value.kind, Kind::List(_) | Kind::Map(_)) && value.mark.line > key.mark.line {
            value.mark = key.mark;
        }
        (key, value)
    }

    fn written(&self, place: Location) -> Option<&str> {
        let start = usize::try_from(place.span().byte_offset()?).ok()?;
        let len = usize::try_from(place.span().byte_len()?).ok()?;
        self.text.get(start..start.checked_add(len)?)
    }
}

/// A value as serde-saphyr returns it.
enum Raw {
    Null,
    Text(String),
    Typed(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
