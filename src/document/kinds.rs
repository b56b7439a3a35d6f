//! Mappings that come in several kinds: either the key `kind` determines which other keys they have (forges,
//! receivers), or their own keys determine the kind (logins).
//!
//! Each kind's keys are a raw type, besides the common keys. A table ([`kinds!`]) lists the kinds; dispatch, error
//! messages and the JSON Schema follow from it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, SeqAccess, VariantAccess as _, Visitor};
use serde_json::{Value, json};

use super::at::At;
use super::fault::Mark;

/// The name by which [`Tagged`] identifies itself to the deserializer of [`decode`](super::decode).
pub(crate) const TAGGED: &str = "$landfall::Tagged";
/// The same for [`Keyed`].
pub(crate) const KEYED: &str = "$landfall::Keyed";
/// The key that determines the kind.
pub(crate) const KIND: &str = "kind";

/// A table of kinds.
pub(crate) trait Kinds: Sized {
    /// What such a mapping is, for "expected …".
    const EXPECTING: &'static str;
    /// The kinds by name.
    const NAMES: &'static [&'static str];

    /// For each kind an empty text, its name, and its keys besides the common ones.
    fn keys() -> &'static [&'static str];

    /// Reads the keys of the kind with this index.
    ///
    /// # Errors
    /// If they have the wrong shape.
    fn read<'de, D: Deserializer<'de>>(index: usize, deserializer: D) -> Result<Self, D::Error>;

    /// A description of each kind, and the schema of its keys.
    fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)>;
}

/// A mapping as it was read: the common keys, and those of its kind.
#[derive(Debug)]
pub(crate) struct Tagged<C, K> {
    pub(crate) common: C,
    pub(crate) kind: K,
    /// Where the kind is written.
    pub(crate) said: Mark,
}

impl<'de, C: Deserialize<'de>, K: Kinds> Deserialize<'de> for Tagged<C, K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct(TAGGED, K::keys(), Parts(PhantomData))
    }
}

/// A mapping whose keys determine its kind.
#[derive(Debug)]
pub(crate) struct Keyed<K>(pub(crate) K);

impl<'de, K: Kinds> Deserialize<'de> for Keyed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Parts::<Nothing, K>(PhantomData);
        deserializer.deserialize_struct(KEYED, K::keys(), parts).map(|tagged| Self(tagged.kind))
    }
}

/// Assembles a mapping from its parts.
struct Parts<C, K>(PhantomData<(C, K)>);

impl<'de, C: Deserialize<'de>, K: Kinds> Visitor<'de> for Parts<C, K> {
    type Value = Tagged<C, K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(K::EXPECTING)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Tagged<C, K>, A::Error> {
        let missing = || de::Error::custom("a mapping without its parts");
        let name: At<Index<K>> = parts.next_element()?.ok_or_else(missing)?;
        let common = parts.next_element()?.ok_or_else(missing)?;
        let kind = parts.next_element_seed(Own(name.value))?.ok_or_else(missing)?;
        Ok(Tagged { common, kind, said: name.mark })
    }
}

/// The index of the kind.
struct Index<K>(usize, PhantomData<K>);

impl<'de, K: Kinds> Deserialize<'de> for Index<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name<K>(PhantomData<K>);

        impl<'de, K: Kinds> Visitor<'de> for Name<K> {
            type Value = Index<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a kind")
            }

            fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Index<K>, A::Error> {
                let (name, rest): (Cow<'de, str>, _) = data.variant()?;
                rest.unit_variant()?;
                let index = K::NAMES.iter().position(|known| **known == *name);
                index.map(|index| Index(index, PhantomData)).ok_or_else(|| de::Error::custom("an unknown kind"))
            }
        }

        deserializer.deserialize_enum(KIND, K::NAMES, Name(PhantomData))
    }
}

/// Reads the keys of one kind.
struct Own<K>(Index<K>);

impl<'de, K: Kinds> DeserializeSeed<'de> for Own<K> {
    type Value = K;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K, D::Error> {
        K::read(self.0.0, deserializer)
    }
}

/// One schema per kind, each with all its keys: editors then offer the keys that belong to the kind.
impl<C: JsonSchema, K: Kinds> JsonSchema for Tagged<C, K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Tagged".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = C::json_schema(generator).to_value();
        let choices = K::NAMES.iter().zip(K::schemas(generator)).map(|(name, (text, own))| {
            let mut choice = json!({
                "type": "object",
                "title": name,
                "description": text,
                "properties": { KIND: { "const": name, "description": text } },
                "required": [KIND],
                "additionalProperties": false,
            });
            for part in [&common, &own.to_value()] {
                for (key, schema) in part["properties"].as_object().into_iter().flatten() {
                    choice["properties"][key] = schema.clone();
                }
                if let (Some(Value::Array(more)), Value::Array(required)) =
                    (part.get("required"), &mut choice["required"])
                {
                    required.extend(more.iter().cloned());
                }
            }
            choice
        });
        let choices: Vec<Value> = choices.collect();
        schemars::json_schema!({ "oneOf": choices })
    }
}

/// One schema per kind.
impl<K: Kinds> JsonSchema for Keyed<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Keyed".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let choices = K::NAMES.iter().zip(K::schemas(generator)).map(|(name, (text, own))| {
            let mut choice = own.to_value();
            choice["title"] = json!(name);
            choice["description"] = json!(text);
            choice
        });
        let choices: Vec<Value> = choices.collect();
        schemars::json_schema!({ "oneOf": choices })
    }
}

/// The keys of a raw type, obtained from the type itself.
pub(crate) fn keys_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Ask<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("it has no keys"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(de::Error::custom("only its keys are asked for"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut keys: &'static [&'static str] = &[];
    drop(T::deserialize(Ask(&mut keys)));
    keys
}

/// For tables without common keys.
#[derive(Debug, serde::Deserialize, JsonSchema)]
pub(crate) struct Nothing {}

/// Makes a table of kinds from lines of the form `"name" => Variant(its raw type),`, each under its description.
macro_rules! kinds {
    (
        $(#[$about:meta])*
        enum $Table:ident, expecting $expecting:literal;
        $( #[doc = $text:literal] $name:literal => $Variant:ident($Config:ty), )*
    ) => {
        $(#[$about])*
        #[derive(Debug)]
        #[allow(clippy::large_enum_variant, reason = "a few live while files are loaded; a box would be in the way of every kind")]
        pub(crate) enum $Table {
            $( #[doc = $text] $Variant($Config), )*
        }

        impl $crate::document::kinds::Kinds for $Table {
            const EXPECTING: &'static str = $expecting;
            const NAMES: &'static [&'static str] = &[$($name),*];

            fn keys() -> &'static [&'static str] {
                static KEYS: std::sync::OnceLock<Vec<&'static str>> = std::sync::OnceLock::new();
                KEYS.get_or_init(|| {
                    [$( &["", $name], $crate::document::kinds::keys_of::<$Config>() ),*].concat()
                })
            }

            fn read<'de, D: serde::Deserializer<'de>>(index: usize, deserializer: D) -> Result<Self, D::Error> {
                let name = *Self::NAMES.get(index).ok_or_else(|| serde::de::Error::custom("an unknown kind"))?;
                match name {
                    $( $name => serde::Deserialize::deserialize(deserializer).map(Self::$Variant), )*
                    _ => Err(serde::de::Error::custom("an unknown kind")),
                }
            }

            fn schemas(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, schemars::Schema)> {
                vec![$( ($text.trim_ascii(), <$Config as schemars::JsonSchema>::json_schema(generator)) ),*]
            }
        }
    };
}

pub(crate) use kinds;
