//! From the tree of a file to raw types, finding everything of the wrong shape in one pass.
//!
//! Promise: unknown keys, missing keys and values of the wrong type are all reported, each at its place, however many
//! there are; nothing is guessed, converted or ignored. `yes` is not a boolean, `1` is text if text is expected, a key
//! without a value is an error.
//!
//! Design: a serde deserializer over the tree. Unknown keys are recorded and skipped, since the struct's fields are
//! known. For any other error, its node is recorded and left out, and the tree is read again until the rest can be
//! read. The number of rounds is bounded by [`MAX_FAULTS`].

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::{StrDeserializer, UsizeDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

use super::at::AT;
use super::fault::{Fault, Mark};
use super::kinds::{KEYED, KIND, TAGGED};
use super::word_or::WORD_OR;
use super::yaml::{Key, Kind, Node, Scalar};
use crate::model::nearest;

/// Maximum number of faults reported for one file; a file with more has another problem.
const MAX_FAULTS: usize = 50;

/// Decodes a tree into a type. `None` if too little of it is left; the faults then say why.
pub(crate) fn decode<T: DeserializeOwned>(root: &Node) -> (Option<T>, Vec<Fault>) {
    let notes = RefCell::new(Notes::default());
    loop {
        let error = match T::deserialize(Reader { node: root, notes: &notes, part: None }) {
            Ok(value) => return (Some(value), notes.into_inner().faults),
            Err(error) => error.at(root),
        };
        let mut notes = notes.borrow_mut();
        let node = error.node.unwrap_or(root.id);
        notes.note(error);
        if node == root.id || !notes.left_out.insert(node) || notes.faults.len() >= MAX_FAULTS {
            return (None, std::mem::take(&mut notes.faults));
        }
    }
}

/// What has been found so far.
#[derive(Debug, Default)]
struct Notes {
    faults: Vec<Fault>,
    left_out: BTreeSet<usize>,
    /// Per mapping: keys that are present but unusable, or that an unknown key was perhaps meant to be. They are not
    /// reported as missing.
    excused: BTreeSet<(usize, &'static str)>,
    unknown: BTreeSet<Mark>,
}

impl Notes {
    fn note(&mut self, error: Error) {
        let excused = match (error.missing, error.node) {
            (Some(field), Some(node)) => self.excused.contains(&(node, field)),
            _ => false,
        };
        if !excused {
            self.faults.push(Fault {
                mark: error.mark.unwrap_or(Mark::START),
                message: error.message,
                hint: error.hint,
                secret: error.secret,
                harmless: false,
            });
        }
    }

    fn unknown(&mut self, map: &Node, key: &Key, fields: &[&'static str]) {
        let near = nearest(&key.text, fields.iter().copied());
        if let Some(near) = near {
            self.excused.insert((map.id, near));
        }
        if self.unknown.insert(key.mark) && self.faults.len() < MAX_FAULTS {
            let hint = near.map_or_else(|| known("keys", fields), |near| format!("did you mean `{near}`?"));
            self.faults.push(Fault::new(key.mark, format!("unknown key `{}`", shorten(&key.text))).hint(hint));
        }
    }
}

fn known(what: &str, names: &[&str]) -> String {
    if names.is_empty() {
        format!("no {what} are known here")
    } else {
        format!("known {what} are {}", names.join(", "))
    }
}

fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

/// Why a node cannot be read.
#[derive(Debug)]
pub(crate) struct Error {
    message: String,
    hint: Option<String>,
    missing: Option<&'static str>,
    secret: bool,
    node: Option<usize>,
    mark: Option<Mark>,
}

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, missing: None, secret: false, node: None, mark: None }
    }

    fn wrong(node: &Node, expected: &dyn fmt::Display) -> Self {
        Self::new(format!("expected {expected}, found {}", node.describe())).at(node)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the innermost node: the first one that sees the error.
    fn at(mut self, node: &Node) -> Self {
        self.node.get_or_insert(node.id);
        self.mark.get_or_insert(node.mark);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    /// The default message would repeat the value, which may be a secret.
    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found something else"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("the value is not {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("the key `{field}` is missing here")) }
    }
}

/// A node about to be read.
#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    notes: &'a RefCell<Notes>,
    /// Set if only some keys of the mapping are read here and the others by another type; receives which.
    part: Option<&'a RefCell<&'static [&'static str]>>,
}

impl<'a> Reader<'a> {
    fn child(self, node: &'a Node) -> Self {
        Self { node, notes: self.notes, part: None }
    }

    fn left_out(self, node: &Node) -> bool {
        self.notes.borrow().left_out.contains(&node.id)
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Scalar(scalar) if scalar.typed => match scalar.text.parse::<u64>() {
                Ok(number) => visitor.visit_u64(number).map_err(|error: Error| error.at(self.node)),
                Err(_) => Err(Error::wrong(self.node, &"a whole number, 0 or more")),
            },
            _ => Err(Error::wrong(self.node, &"a number")),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Scalar(_) => self.deserialize_str(visitor),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Scalar(scalar) if scalar.typed && scalar.text == "true" => visitor.visit_bool(true),
            Kind::Scalar(scalar) if scalar.typed && scalar.text == "false" => visitor.visit_bool(false),
            _ => Err(Error::wrong(self.node, &"true or false")),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.number(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Scalar(scalar) => visitor.visit_str(&scalar.text),
            _ => Err(Error::wrong(self.node, &"text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if matches!(self.node.kind, Kind::Null) {
            return Err(Error::new("the key has no value").hint("give it a value or remove the key").at(self.node));
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == AT {
            visitor.visit_seq(AtParts { reader: self, next: 0 })
        } else if name == WORD_OR && matches!(self.node.kind, Kind::Scalar(_)) {
            visitor.visit_some(self)
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::List(items) => visitor.visit_seq(Items { reader: self, items: items.iter() }),
            Kind::Scalar(_) => Err(Error::wrong(self.node, &"a list").hint("put it in brackets, as in [value]")),
            _ => Err(Error::wrong(self.node, &"a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Map(entries) => {
                visitor.visit_map(Entries { reader: self, entries: entries.iter(), fields: None, value: None })
            }
            _ => Err(Error::wrong(self.node, &"a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Kind::Map(entries) = &self.node.kind else {
            let expected = &visitor as &dyn Expected;
            let mut error = Error::wrong(self.node, &expected);
            error.secret = name == "Secret";
            return Err(error);
        };
        if name == TAGGED || name == KEYED {
            let (keyed, expected) = (name == KEYED, (&visitor as &dyn Expected).to_string());
            let parts = TaggedParts { reader: self, entries, table: fields, keyed, expected, kind: "", next: 0 };
            return visitor.visit_seq(parts);
        }
        if let Some(part) = self.part {
            *part.borrow_mut() = fields;
        }
        visitor.visit_map(Entries { reader: self, entries: entries.iter(), fields: Some(fields), value: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Kind::Scalar(scalar) = &self.node.kind else {
            return Err(Error::wrong(self.node, &format!("one of {}", variants.join(", "))));
        };
        if !variants.contains(&scalar.text.as_str()) {
            let hint = nearest(&scalar.text, variants.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let message = format!("`{}` is not one of {}", shorten(&scalar.text), variants.join(", "));
            return Err(Error { hint, ..Error::new(message) }.at(self.node));
        }
        visitor.visit_enum(StrDeserializer::new(&scalar.text))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

/// The items of a list.
struct Items<'a> {
    reader: Reader<'a>,
    items: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let reader = self.reader;
        match self.items.find(|item| !reader.left_out(item)) {
            Some(item) => seed.deserialize(reader.child(item)).map(Some).map_err(|error| error.at(item)),
            None => Ok(None),
        }
    }
}

/// The entries of a mapping that are known and readable.
struct Entries<'a> {
    reader: Reader<'a>,
    entries: std::slice::Iter<'a, (Key, Node)>,
    fields: Option<&'static [&'static str]>,
    value: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        for (key, value) in self.entries.by_ref() {
            if let Some(fields) = self.fields {
                let Some(field) = fields.iter().find(|field| **field == key.text) else {
                    if self.reader.part.is_none() {
                        self.reader.notes.borrow_mut().unknown(self.reader.node, key, fields);
                    }
                    continue;
                };
                if self.reader.left_out(value) {
                    self.reader.notes.borrow_mut().excused.insert((self.reader.node.id, field));
                    continue;
                }
            }
            self.value = Some(value);
            return seed.deserialize(StrDeserializer::new(&key.text)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(value) = self.value.take() else { return Err(Error::new("a value without a key")) };
        seed.deserialize(self.reader.child(value)).map_err(|error| error.at(value))
    }
}

/// A node as [`At`](super::at::At) disassembles it: line, column, width, value.
struct AtParts<'a> {
    reader: Reader<'a>,
    next: usize,
}

impl<'de> SeqAccess<'de> for AtParts<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let mark = self.reader.node.mark;
        let number = |n: usize| -> UsizeDeserializer<Error> { n.into_deserializer() };
        self.next += 1;
        match self.next {
            1 => seed.deserialize(number(mark.line)).map(Some),
            2 => seed.deserialize(number(mark.column)).map(Some),
            3 => seed.deserialize(number(mark.width)).map(Some),
            4 => seed.deserialize(self.reader).map(Some).map_err(|error| error.at(self.reader.node)),
            _ => Ok(None),
        }
    }
}

/// A mapping as [`Tagged`](super::kinds::Tagged) disassembles it: the kind, the common keys, the keys of this kind.
struct TaggedParts<'a> {
    reader: Reader<'a>,
    entries: &'a [(Key, Node)],
    /// See [`Kinds::keys`](super::kinds::Kinds::keys).
    table: &'static [&'static str],
    /// Whether the mapping's keys determine its kind, instead of a key `kind`.
    keyed: bool,
    /// What such a mapping is.
    expected: String,
    kind: &'static str,
    next: usize,
}

impl TaggedParts<'_> {
    /// Each kind's name, and its keys.
    fn rows(&self) -> impl Iterator<Item = (&'static str, &'static [&'static str])> + use<> {
        self.table.split(|key| key.is_empty()).filter_map(|row| row.split_first()).map(|(name, keys)| (*name, keys))
    }

    /// Determines the kind by the value of the key `kind`.
    fn tagged<'de, T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let said = self.entries.iter().find(|(key, _)| key.text == KIND).map(|(_, value)| value);
        let Some(said) = said.filter(|said| !self.reader.left_out(said)) else {
            if said.is_some() {
                self.reader.notes.borrow_mut().excused.insert((self.reader.node.id, KIND));
            }
            return Err(de::Error::missing_field(KIND));
        };
        let kind = seed.deserialize(self.reader.child(said)).map_err(|error| error.at(said))?;
        if let Kind::Scalar(scalar) = &said.kind {
            self.kind = self.rows().map(|(name, _)| name).find(|name| *name == scalar.text).unwrap_or_default();
        }
        Ok(kind)
    }

    /// Determines the kind by the keys that are present: the kind with the most of them.
    fn keyed<'de, T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let there = |keys: &[&str]| self.entries.iter().filter(|(key, _)| keys.contains(&key.text.as_str())).count();
        let found = self.rows().map(|(name, keys)| (there(keys), name)).filter(|(count, _)| *count > 0);
        // In a tie, the first in the table.
        let best = found.reduce(|best, other| if other.0 > best.0 { other } else { best });
        let Some((_, name)) = best else {
            let ways: Vec<String> = self.rows().map(|(_, keys)| keys.join(" and ")).collect();
            let found =
                self.entries.first().map_or("no key".to_owned(), |(key, _)| format!("`{}`", shorten(&key.text)));
            let message = format!("expected {}, found {found}", self.expected);
            return Err(Error::new(message).hint(format!("the keys are {}", ways.join(", or "))));
        };
        self.kind = name;
        let scalar = Scalar { text: name.to_owned(), typed: false };
        let said = Node { id: self.reader.node.id, mark: self.reader.node.mark, kind: Kind::Scalar(scalar) };
        let reader: Reader<'_> = self.reader;
        seed.deserialize(reader.child(&said))
    }

    /// Records keys that this kind does not have: those of another kind, and unknown ones.
    fn check_keys(&self, common: &[&'static str]) {
        let Some((_, own)) = self.rows().find(|(name, _)| *name == self.kind) else { return };
        let says: &[&str] = if self.keyed { &[] } else { &[KIND] };
        let known: Vec<&'static str> = [says, common, own].concat();
        let mut notes = self.reader.notes.borrow_mut();
        for (key, value) in self.entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            let among = |keys: &[&str]| keys.iter().any(|known| known.eq_ignore_ascii_case(&key.text));
            let others: Vec<&str> = self.rows().filter(|(_, keys)| among(keys)).map(|(name, _)| name).collect();
            if among(&known) || others.is_empty() {
                notes.unknown(self.reader.node, key, &known);
            } else if notes.unknown.insert(key.mark) {
                let message = match self.keyed {
                    true => format!("`{}` cannot be combined with {}", key.text, own.join(" and ")),
                    false => format!("`{}` is only valid with `kind: {}`", key.text, others.join(" | ")),
                };
                notes.faults.push(Fault { harmless: true, ..Fault::new(value.mark, message) });
            }
        }
    }
}

impl<'de> SeqAccess<'de> for TaggedParts<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.next += 1;
        let node = self.reader.node;
        match self.next {
            1 if self.keyed => self.keyed(seed).map(Some).map_err(|error| error.at(node)),
            1 => self.tagged(seed).map(Some).map_err(|error| error.at(node)),
            2 | 3 => {
                let keys = RefCell::new(&[][..]);
                let read = seed.deserialize(Reader { part: Some(&keys), ..self.reader });
                if self.next == 2 {
                    self.check_keys(keys.into_inner());
                }
                read.map(Some).map_err(|error| error.at(node))
            }
            _ => Ok(None),
        }
    }
}
