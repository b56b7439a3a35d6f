//! The bytes that the cache holds. What cannot be decoded reads as `None`.
//!
//! A listing is a line of JSON and then one tag per line: tags have no line breaks (OCI grammar), and a listing of a
//! million tags stays as small as their names.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Listing, Manifest, TagList, Validators};

#[derive(Serialize, Deserialize)]
struct Head {
    at: Timestamp,
    dropped: usize,
    /// Bytes of the names, so that one that is cut off is noticed.
    length: usize,
    validators: Option<Validators>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    at: Timestamp,
    manifest: Manifest,
}

pub(super) fn listing(listing: &Listing, validators: Option<&Validators>) -> Vec<u8> {
    let head = Head {
        at: listing.at,
        dropped: listing.dropped,
        length: listing.tags.iter().map(|tag| tag.as_str().len() + 1).sum(),
        validators: validators.cloned(),
    };
    // These types have no maps with odd keys; if they ever fail to encode, the entry reads as absent.
    let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
    bytes.reserve_exact(head.length);
    for tag in listing.tags.iter() {
        bytes.push(b'\n');
        bytes.extend_from_slice(tag.as_str().as_bytes());
    }
    bytes
}

pub(super) fn read_listing(bytes: &[u8]) -> Option<(Listing, Option<Validators>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, names) = text.split_at(text.find('\n').unwrap_or(text.len()));
    let head: Head = serde_json::from_str(head).ok()?;
    if names.len() != head.length {
        return None;
    }
    // The first name has a line break before it as well.
    let tags = TagList::from_lines(names.strip_prefix('\n').unwrap_or(names))?;
    Some((Listing { tags: Arc::new(tags), dropped: head.dropped, at: head.at }, head.validators))
}

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
            let bytes = listing(&whole, Some(&validators));
            prop_assert_eq!(read_listing(&bytes), Some((whole, Some(validators))));
            for cut in 0..bytes.len() {
                prop_assert_eq!(read_listing(&bytes[..cut]), None);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ignored = (read_listing(&bytes), read_manifest(&bytes));
        }
    }
}
