//! The file with the records, and which repository's they are.
//!
//! The file says what it is and which repository it is of, so that where the bot signs, its signature says it too: the same
//! commit means nothing in another repository, nor does any other commit of the bot's.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::RepositorySettings;
use crate::git::Mirror;
use crate::landing::watchers::Address;
use crate::model::ImageName;
use crate::plan::TagRecords;

/// Maximum size of the file, read or written; that of all tags is less.
pub(super) const MAX_SIZE: usize = 4 << 20;

/// What the file says that it is.
const KIND: &str = "landfall/first-seen";

/// When digests of images were first seen.
pub(super) type Times = BTreeMap<ImageName, BTreeMap<String, Timestamp>>;

/// An image, a digest, and when it was first seen.
pub(super) type Record<'r> = (&'r ImageName, &'r str, Timestamp);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct File {
    pub(super) version: u32,
    /// What it is, and the repository that it is of; both are missing in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(default)]
    pub(super) images: Times,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: TagRecords,
}

/// A repository, as its records name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::daemon) struct RecordedRepository {
    address: String,
    /// The other addresses that it has, by the configuration.
    aliases: BTreeSet<String>,
}

impl RecordedRepository {
    pub(in crate::daemon) fn of(settings: &RepositorySettings, mirror: &Mirror) -> Self {
        let address = |text: &str| Address::parse(text).map_or_else(|| text.to_owned(), |it| it.as_str().to_owned());
        Self {
            address: address(mirror.remote()),
            aliases: settings.aliases.iter().map(|alias| address(alias)).collect(),
        }
    }

    fn is(&self, address: &str) -> bool {
        self.address == address || self.aliases.contains(address)
    }
}

/// Whose records a file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecordsOf {
    /// This repository's.
    This,
    /// Another's.
    Other(String),
    /// It does not say.
    Unsaid,
}

impl File {
    pub(super) fn new(of: &RecordedRepository, images: Times, tags: TagRecords) -> Self {
        Self { version: 1, kind: Some(KIND.to_owned()), repository: Some(of.address.clone()), images, tags }
    }

    pub(super) fn is_of(&self, repository: &RecordedRepository) -> RecordsOf {
        match (self.kind.as_deref(), &self.repository) {
            (Some(KIND), Some(address)) if repository.is(address) => RecordsOf::This,
            (Some(KIND), Some(address)) => RecordsOf::Other(address.clone()),
            _ => RecordsOf::Unsaid,
        }
    }

    /// The file of these records.
    pub(super) fn encoded(of: &RecordedRepository, records: &[Record<'_>], tags: &TagRecords) -> Vec<u8> {
        let mut images = Times::new();
        for (image, digest, at) in records {
            images.entry((*image).clone()).or_default().insert((*digest).to_owned(), *at);
        }
        // Names and times can always be encoded.
        let mut body = serde_json::to_vec_pretty(&Self::new(of, images, tags.clone())).unwrap_or_default();
        body.push(b'\n');
        body
    }

    /// `None` if the bytes are none, or of a later version.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_SIZE {
            return None;
        }
        let file: Self = serde_json::from_slice(bytes).ok()?;
        (file.version == 1).then_some(file)
    }

    /// Adds the records of another file: of each image the earlier time, of each tag all that it stood for. Returns whether there was
    /// anything to add.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        let mut news = false;
        for (image, times) in &other.images {
            let of = self.images.entry(image.clone()).or_default();
            for (digest, at) in times {
                let known = of.entry(digest.clone()).or_insert_with(|| {
                    news = true;
                    *at
                });
                news |= at < known;
                *known = (*known).min(*at);
            }
        }
        for (image, tags) in &other.tags {
            let of = self.tags.entry(image.clone()).or_default();
            for (tag, record) in tags {
                match of.get_mut(tag) {
                    Some(known) => news |= known.merge(record),
                    None => {
                        of.insert(tag.clone(), record.clone());
                        news = true;
                    }
                }
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(address: &str, aliases: &[&str]) -> RecordedRepository {
        RecordedRepository {
            address: address.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        }
    }

    #[test]
    fn a_file_is_of_the_repository_that_it_names() {
        let (own, other) = (repository("https://git.example.com/a", &["https://mirror/a"]), repository("x", &[]));
        let file = |of: &RecordedRepository| File::new(of, Times::new(), TagRecords::new());
        assert_eq!(file(&own).is_of(&own), RecordsOf::This);
        assert_eq!(file(&repository("https://mirror/a", &[])).is_of(&own), RecordsOf::This, "an alias");
        assert_eq!(file(&other).is_of(&own), RecordsOf::Other("x".to_owned()));
        for text in [
            r#"{"version":1}"#,
            r#"{"version":1,"repository":"https://git.example.com/a"}"#,
            r#"{"version":1,"kind":"landfall/first-seen"}"#,
            r#"{"version":1,"kind":"other","repository":"https://git.example.com/a"}"#,
        ] {
            assert_eq!(File::parse(text.as_bytes()).unwrap().is_of(&own), RecordsOf::Unsaid, "{text}");
        }
    }

    #[test]
    fn merged_files_have_the_earlier_times_and_say_whether_anything_was_missing() {
        let image = ImageName::parse("ghcr.io/acme/web").unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let file = |times: &[(&str, i64)]| {
            let times = times.iter().map(|(digest, second)| ((*digest).to_owned(), at(*second))).collect();
            File::new(&repository("a", &[]), [(image.clone(), times)].into(), TagRecords::new())
        };
        let mut known = file(&[("a", 5), ("b", 5)]);
        assert!(!known.merge(&file(&[("a", 7)])), "a later time is no news");
        assert!(known.merge(&file(&[("a", 3), ("c", 9)])));
        assert_eq!(known, file(&[("a", 3), ("b", 5), ("c", 9)]));
        assert!(!known.clone().merge(&known), "the same");
    }
}
