//! A setting that is one word, or a mapping with its parts.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Visitor};

/// The name by which [`WordOr`] identifies itself to the deserializer of [`decode`](super::decode).
pub(crate) const WORD_OR: &str = "$landfall::WordOr";

/// A word, or a mapping.
#[derive(Debug)]
pub(crate) enum WordOr<W, K> {
    /// One of some words.
    Word(W),
    /// The keys of a mapping.
    Keys(K),
}

impl<'de, W: Deserialize<'de>, K: Deserialize<'de>> Deserialize<'de> for WordOr<W, K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrVisitor<W, K>(PhantomData<(W, K)>);

        impl<'de, W: Deserialize<'de>, K: Deserialize<'de>> Visitor<'de> for WordOrVisitor<W, K> {
            type Value = WordOr<W, K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a mapping")
            }

            fn visit_some<D: Deserializer<'de>>(self, word: D) -> Result<Self::Value, D::Error> {
                W::deserialize(word).map(WordOr::Word)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, keys: D) -> Result<Self::Value, D::Error> {
                K::deserialize(keys).map(WordOr::Keys)
            }
        }

        deserializer.deserialize_newtype_struct(WORD_OR, WordOrVisitor(PhantomData))
    }
}

impl<W: JsonSchema, K: JsonSchema> JsonSchema for WordOr<W, K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", W::schema_name(), K::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (word, keys) = (generator.subschema_for::<W>(), generator.subschema_for::<K>());
        json_schema!({ "anyOf": [word, keys] })
    }
}
