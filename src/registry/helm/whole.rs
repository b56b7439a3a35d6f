//! An `index.yaml` that is held as a whole, in whatever form of YAML or JSON it is written.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::index::{ChartVersion, HelmIndex, IndexError, MAX_TEXT, sha256};
use crate::http::extent;

/// More than the largest real index has: one version is held as a whole while it is read, and a byte of JSON may be a value that takes
/// a hundred in memory.
const MAX_VALUES: usize = 1_000_000;

/// Reads an index that is held as a whole, in whatever form of YAML or JSON. Of its values, no more is held than one version's.
pub(super) fn whole(bytes: &[u8]) -> Result<HelmIndex, IndexError> {
    let mut found = Collected::default();
    // Neither parser's message is repeated: it may quote the answer, which comes from outside.
    let read = if bytes.trim_ascii_start().starts_with(b"{") {
        if extent(bytes).values > MAX_VALUES {
            return Err(IndexError::TooMuch);
        }
        let mut parser = serde_json::Deserializer::from_slice(bytes);
        let read = IndexSeed(&mut found).deserialize(&mut parser).and_then(|()| parser.end());
        read.map_err(|error| format!("JSON, line {} column {}", error.line(), error.column()))
    } else {
        let read =
            serde_saphyr::with_deserializer_from_slice(bytes, |parser| IndexSeed(&mut found).deserialize(parser));
        read.map_err(|_| "neither its YAML nor its fields are those of one".to_owned())
    };
    if let Some(refused) = found.refused {
        return Err(refused);
    }
    read.map_err(IndexError::Other)?;
    Ok(found.index)
}

/// What was read so far, and what was too much of it.
#[derive(Default)]
struct Collected {
    index: HelmIndex,
    refused: Option<IndexError>,
}

impl Collected {
    /// Once something was too much, nothing is added any more.
    fn add(&mut self, chart: &str, entry: Entry) {
        if self.refused.is_none() {
            self.refused = self.index.add(chart, entry.into()).err();
        }
    }
}

/// One version of a chart, as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    version: Option<String>,
    digest: Option<String>,
    created: Option<String>,
    app_version: Option<serde_json::Value>,
    home: Option<String>,
    sources: Option<Vec<String>>,
    urls: Option<Vec<String>>,
}

impl From<Entry> for ChartVersion {
    fn from(entry: Entry) -> Self {
        let short = |text: Option<String>| text.filter(|text| text.len() <= MAX_TEXT);
        let source = entry.sources.into_iter().flatten().next().or(entry.home);
        let app_version = entry.app_version.and_then(|value| match value {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        Self {
            version: short(entry.version).unwrap_or_default().into(),
            digest: entry.digest.and_then(|text| sha256(&text)),
            created: entry.created.and_then(|text| text.parse().ok()),
            app_version: short(app_version).map(Into::into),
            source: short(source).map(Into::into),
            archive: short(entry.urls.into_iter().flatten().next()).map(Into::into),
        }
    }
}

/// The document: of its keys, only `entries` matters.
struct IndexSeed<'c>(&'c mut Collected);

impl<'de> DeserializeSeed<'de> for IndexSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IndexSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut entries = 0;
        while let Some(key) = map.next_key::<String>()? {
            if key == "entries" {
                entries += 1;
                map.next_value_seed(ChartsSeed(&mut *self.0))?;
            } else {
                let _: IgnoredAny = map.next_value()?;
            }
        }
        match entries {
            1 => Ok(()),
            _ => Err(A::Error::custom("not one `entries`")),
        }
    }
}

/// `entries`: charts by their names.
struct ChartsSeed<'c>(&'c mut Collected);

impl<'de> DeserializeSeed<'de> for ChartsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ChartsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("charts by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(chart) = map.next_key::<String>()? {
            map.next_value_seed(VersionsSeed { chart, collected: &mut *self.0 })?;
        }
        Ok(())
    }
}

/// The versions of a chart: a list, or nothing.
struct VersionsSeed<'c> {
    chart: String,
    collected: &'c mut Collected,
}

impl<'de> DeserializeSeed<'de> for VersionsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for VersionsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the versions of a chart")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element::<Entry>()? {
            self.collected.add(&self.chart, entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn memory_has_a_bound() {
        let mut text = String::from("{\"entries\": {\"web\": [{\"version\": \"1.0.0\"}");
        for number in 0..300_000 {
            let _ = write!(text, ",{{\"version\":\"1.0.{number}\"}}");
        }
        text.push_str("]}}");
        assert_eq!(whole(text.as_bytes()), Err(IndexError::TooMuch));
        // What is cut off is refused for that.
        let cut = &text[..text.len() / 100];
        assert!(matches!(whole(cut.as_bytes()), Err(IndexError::Other(_))), "{:?}", whole(cut.as_bytes()));
    }

    #[test]
    fn entries_without_a_version_count() {
        let text = format!("{{\"entries\": {{\"web\": [{}{{}}]}}}}", "{},".repeat(500_000));
        assert_eq!(whole(text.as_bytes()), Err(IndexError::TooMuch));
    }

    #[test]
    fn one_version_may_not_hold_everything() {
        let text = format!("{{\"entries\": {{\"web\": [{{\"appVersion\": [{}0]}}]}}}}", "0,".repeat(MAX_VALUES));
        assert_eq!(whole(text.as_bytes()), Err(IndexError::TooMuch));
    }

    #[test]
    fn charts_without_versions_are_charts() {
        for text in ["entries: {a: , b: [], c: [{name: c}]}", "{\"entries\": {\"a\": null, \"b\": [], \"c\": [{}]}}"] {
            let index = whole(text.as_bytes()).unwrap();
            assert_eq!((index.chart("a"), index.chart("b")), (None, None), "{text}");
            assert_eq!(index.chart("c").map(|it| (it.versions.len(), it.dropped)), Some((0, 1)), "{text}");
        }
        for text in ["{}", "[]", "entries: 1", "{\"entries\": {}, \"entries\": {}}", "{\"entries\": {}} x"] {
            assert!(matches!(whole(text.as_bytes()), Err(IndexError::Other(_))), "{text}");
        }
    }
}
