//! Forgets images that nothing names any more; otherwise a cache would grow with every image that was ever in a
//! repository.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use redb::{ReadableTable as _, WriteTransaction};

use super::{CONFIRMED, DIGESTS, FIRST_SEEN, LISTINGS, MANIFESTS, NAMED, NAMES};

/// Sorts after every tag and digest: they are ASCII.
const PAST: &str = "\u{7f}";

/// How often to look for images to forget.
pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Records that these images are named now.
pub(super) fn note(written: &WriteTransaction, named: &[String], now: Timestamp) -> Result<(), redb::Error> {
    let mut last = written.open_table(NAMED)?;
    for image in named {
        last.insert(image.as_str(), now.as_second())?;
    }
    Ok(())
}

/// Removes the images that have not been named for too long. An image without a record gets one now.
pub(super) fn unnamed(
    written: &WriteTransaction,
    now: Timestamp,
    unnamed_for: SignedDuration,
) -> Result<(), redb::Error> {
    let mut last = written.open_table(NAMED)?;
    for image in images(written)? {
        if last.get(image.as_str())?.is_none() {
            last.insert(image.as_str(), now.as_second())?;
        }
    }
    let mut gone = Vec::new();
    for row in last.iter()? {
        let (image, second) = row?;
        if now.as_second().saturating_sub(second.value()) > unnamed_for.as_secs() {
            gone.push(image.value().to_owned());
        }
    }
    for image in gone {
        remove(written, &image)?;
        last.remove(image.as_str())?;
    }
    Ok(())
}

/// Every image with any entry.
fn images(written: &WriteTransaction) -> Result<BTreeSet<String>, redb::Error> {
    let mut found = BTreeSet::new();
    for row in written.open_table(CONFIRMED)?.iter()? {
        found.insert(row?.0.value().to_owned());
    }
    // Manifests are stored with their digests, even for images that were never listed.
    let digests = written.open_table(DIGESTS)?;
    let mut from = String::new();
    while let Some(row) = digests.range((from.as_str(), PAST)..)?.next() {
        from = row?.0.value().0.to_owned();
        found.insert(from.clone());
    }
    Ok(found)
}

fn remove(written: &WriteTransaction, image: &str) -> Result<(), redb::Error> {
    written.open_table(LISTINGS)?.remove(image)?;
    written.open_table(CONFIRMED)?.remove(image)?;
    written.open_table(NAMES)?.retain_in((image, 0)..=(image, u32::MAX), |_, _| false)?;
    written.open_table(FIRST_SEEN)?.retain_in((image, "")..(image, PAST), |_, _| false)?;
    written.open_table(MANIFESTS)?.retain_in((image, "")..(image, PAST), |_, _| false)?;
    written.open_table(DIGESTS)?.retain_in((image, "")..(image, PAST), |_, _| false)?;
    Ok(())
}
