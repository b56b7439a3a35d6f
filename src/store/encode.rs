//! The encoding of the cache's content. Anything that cannot be decoded reads as `None`.
//!
//! A listing is a head in JSON, plus its tags in rows with one tag per line: tags have no line breaks (OCI grammar),
//! and a listing of a million tags takes no more space than their names.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Listing, Manifest, TagList, TagListBuilder, Validators};

#[derive(Serialize, Deserialize)]
struct Head {
    at: Timestamp,
    dropped: usize,
    /// Total bytes of the names, so that a truncated listing is noticed.
    length: usize,
    validators: Option<Validators>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    at: Timestamp,
    manifest: Manifest,
}

/// Approximate number of bytes of names in one row: a list of a million tags takes many megabytes, and is neither
/// written nor read in one piece.
const ROW: usize = 64 * 1024;

/// A listing without its names.
pub(super) fn head(listing: &Listing, validators: Option<&Validators>) -> Vec<u8> {
    let head = Head {
        at: listing.at,
        dropped: listing.dropped,
        length: listing.tags.iter().map(|tag| tag.as_str().len()).sum(),
        validators: validators.cloned(),
    };
    // These types have no maps with unusual keys; if they ever fail to encode, the entry reads as absent.
    serde_json::to_vec(&head).unwrap_or_default()
}

/// The names of a listing, one per line, in rows.
pub(super) fn rows(tags: &TagList) -> impl Iterator<Item = String> {
    let mut tags = tags.iter();
    std::iter::from_fn(move || {
        let mut row = tags.next()?.as_str().to_owned();
        while row.len() < ROW {
            let Some(tag) = tags.next() else { break };
            row.push('\n');
            row.push_str(tag.as_str());
        }
        Some(row)
    })
}

/// A listing without its names, and a way to add them.
pub(super) struct Reading {
    head: Head,
    tags: TagListBuilder,
}

impl Reading {
    pub(super) fn new(head: &[u8]) -> Option<Self> {
        let head: Head = serde_json::from_slice(head).ok()?;
        let mut tags = TagListBuilder::default();
        tags.reserve(head.length.min(MAX_NAMES));
        Some(Self { head, tags })
    }

    pub(super) fn validators(self) -> Option<Validators> {
        self.head.validators
    }

    pub(super) fn row(&mut self, row: &[u8]) -> Option<()> {
        self.tags.push_lines(std::str::from_utf8(row).ok()?)
    }

    pub(super) fn finish(self) -> Option<(Listing, Option<Validators>)> {
        let Head { at, dropped, length, validators } = self.head;
        let tags = self.tags.finish();
        let whole = tags.iter().map(|tag| tag.as_str().len()).sum::<usize>() == length;
        whole.then(|| (Listing { tags: Arc::new(tags), dropped, at }, validators))
    }
}

/// The most memory that is reserved at once, whatever a damaged head says.
const MAX_NAMES: usize = 256 << 20;

pub(super) fn manifest(manifest: &Manifest, at: Timestamp) -> Vec<u8> {
    serde_json::to_vec(&Stored { at, manifest: manifest.clone() }).unwrap_or_default()
}

pub(super) fn read_manifest(bytes: &[u8]) -> Option<(Manifest, Timestamp)> {
    let stored: Stored = serde_json::from_slice(bytes).ok()?;
    Some((stored.manifest, stored.at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Tag;

    proptest! {
        #[test]
        fn listings_come_back(tags in proptest::collection::vec("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,9}", 0..20),
                              dropped in 0usize..9, second in -9_999_999i64..9_999_999_999) {
            let tags: TagList = tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
            let whole = Listing { tags: Arc::new(tags), dropped, at: Timestamp::from_second(second).unwrap() };
            let validators = Validators { etag: Some("\"a\nb\"".to_owned()), last_modified: None };
            let (head, rows) = (head(&whole, Some(&validators)), rows(&whole.tags).collect::<Vec<_>>());
            let read = |head: &[u8], rows: &[&[u8]]| {
                let mut reading = Reading::new(head)?;
                rows.iter().try_for_each(|row| reading.row(row))?;
                reading.finish()
            };
            let bytes: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
            prop_assert_eq!(read(&head, &bytes), Some((whole, Some(validators))));
            if let [row] = bytes[..] {
                prop_assert_eq!(read(&head, &[]), None);
                for cut in 0..row.len() {
                    prop_assert_eq!(read(&head, &[&row[..cut]]), None);
                }
            }
            for cut in 0..head.len() {
                prop_assert!(Reading::new(&head[..cut]).is_none());
            }
        }

        #[test]
        fn long_lists_stand_in_many_rows(count in 9_000usize..20_000) {
            let tags: TagList = (0..count).map(|number| Tag::parse(&format!("v1.0.{number:08}")).unwrap()).collect();
            let rows: Vec<String> = rows(&tags).collect();
            prop_assert!(rows.len() > 1 && rows.iter().all(|row| row.len() < ROW + 130));
            prop_assert_eq!(rows.join("\n"), tags.iter().map(|tag| tag.as_str().to_owned()).collect::<Vec<_>>().join("\n"));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut reading = Reading::new(&bytes);
            let _ignored = (reading.as_mut().map(|reading| reading.row(&bytes)), read_manifest(&bytes));
        }
    }
}
