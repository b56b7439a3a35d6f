//! The embedded cache: the last listings, when tags were first seen, and the content of manifests.
//!
//! Promise: deleting the file loses only the age of tags and costs some requests. Anything unreadable counts as absent;
//! a file that cannot be opened is moved aside and replaced by a new one, with a message. Time is an argument.
//!
//! Invariants:
//! - only one process has it open: a second one is refused ([`StoreError::Busy`]) and never gets stale data
//! - the very first listing of a repository says nothing about the age of its tags; only tags that a later listing adds
//!   are "first seen" then. So losing the file can only make a wait longer
//! - for each repository the file holds its current tags; tags that vanish from the listing are removed, and so is,
//!   after a while, a repository that nothing names any more
//!
//! Design: a handful of redb tables, and one transaction per write, however many entries it has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::model::{Digest, ImageName, Listing, Manifest, Tag, Validators};

mod encode;
mod forget;
mod shared;

pub use shared::{SharedMemory, json};

/// Image → its listing without the names.
const LISTINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("listings-2");
/// (Image, row) → the names in its listing, in order.
const NAMES: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("names-1");
/// Listings in one piece, in the format of earlier versions.
const OLD_LISTINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("listings-1");
/// Image → when the registry last confirmed the listing, in seconds. Separate from the listing, which is large and
/// rarely changes.
const CONFIRMED: TableDefinition<'_, &str, i64> = TableDefinition::new("confirmed-1");
/// (Image, tag) → when a listing after the first one first had it, in seconds.
const FIRST_SEEN: TableDefinition<'_, (&str, &str), i64> = TableDefinition::new("first-seen-1");
/// (Image, tag) → its manifest and when that was read.
const MANIFESTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("manifests-1");
/// (Image, digest) → when a manifest with this digest was first read, in seconds.
const DIGESTS: TableDefinition<'_, (&str, &str), i64> = TableDefinition::new("digests-1");
/// Key → data that is needed again after a restart.
const MEMORY: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("memory-1");
/// Image → when something last named it, in seconds.
const NAMED: TableDefinition<'_, &str, i64> = TableDefinition::new("named-1");
/// The key for the time at which images were last forgotten.
const FORGETTING: &str = "forgetting";
/// Memory for pages of the file; redb's default is a gibibyte.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// The cache.
#[derive(Debug)]
pub struct Store {
    database: Database,
    note: Option<String>,
    /// Whether it outlives the process.
    kept: bool,
}

/// Something to store.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A fresh, complete listing.
    Listing {
        /// The repository.
        image: ImageName,
        /// Its tags; their `created` is not stored.
        listing: Listing,
        /// The validators for the next request.
        validators: Option<Validators>,
    },
    /// The registry confirmed that the listing has not changed.
    Unchanged {
        /// The repository.
        image: ImageName,
        /// When it did so.
        at: Timestamp,
    },
    /// The manifest of a tag.
    Manifest {
        /// The repository.
        image: ImageName,
        /// The tag.
        tag: Tag,
        /// The manifest.
        manifest: Manifest,
        /// When it was read.
        at: Timestamp,
    },
    /// Anything else, under the caller's key.
    Memory {
        /// The key.
        key: String,
        /// The data.
        bytes: Vec<u8>,
    },
}

/// Why the cache could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be used.
    #[error("cannot use {}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Writing failed; the previous content is unchanged.
    #[error("cannot write to the cache")]
    Write(#[source] Box<redb::Error>),
    /// There is no memory for a cache without a file.
    #[error("cannot make a cache in memory")]
    Memory(#[source] Box<redb::Error>),
}

impl Store {
    /// Opens the cache, or creates one; its folder is created if it is missing.
    ///
    /// A file that is damaged or of another version is moved to the same name with `.broken` (replacing an older one),
    /// and a new one is created; [`Self::note`] then says so.
    ///
    /// # Errors
    /// If another process has it open, or the file system refuses.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::Unusable { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(unusable)?;
        }
        let damage = match open_file(path) {
            Ok(database) => return Ok(Self { database, note: None, kept: true }),
            Err(Refusal::Busy) => return Err(StoreError::Busy { path: path.to_owned() }),
            Err(Refusal::Io(error)) => return Err(unusable(error)),
            Err(Refusal::Damaged(reason)) => reason,
        };
        let mut aside = path.as_os_str().to_owned();
        aside.push(".broken");
        std::fs::rename(path, &aside).map_err(unusable)?;
        let note = format!(
            "the cache {} could not be read ({damage}); it was moved to {} and replaced by a new one: only the age of tags seen \
             before is lost",
            path.display(),
            aside.display()
        );
        match open_file(path) {
            Ok(database) => Ok(Self { database, note: Some(note), kept: true }),
            Err(Refusal::Busy) => Err(StoreError::Busy { path: path.to_owned() }),
            Err(Refusal::Io(error)) => Err(unusable(error)),
            Err(Refusal::Damaged(reason)) => Err(unusable(std::io::Error::other(reason))),
        }
    }

    /// A cache that ends with the process, for commands that keep no state.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn in_memory() -> Result<Self, StoreError> {
        let database = builder().create_with_backend(redb::backends::InMemoryBackend::new());
        let database = database.map_err(|error| StoreError::Memory(Box::new(error.into())))?;
        Ok(Self { database, note: None, kept: false })
    }

    /// Whether it outlives the process: it is in a file that only this process has open.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// What a person should know about the opening of the cache.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Stores everything in one transaction: all or nothing.
    ///
    /// # Errors
    /// If it cannot be written; the previous content is unchanged.
    pub fn write(&self, entries: &[Entry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut written = self.database.begin_write().map_err(redb::Error::from).map_err(failed)?;
        // Opening after a kill then takes no longer than after an orderly end.
        written.set_quick_repair(true);
        for entry in entries {
            write_entry(&written, entry).map_err(failed)?;
        }
        written.commit().map_err(redb::Error::from).map_err(failed)
    }

    /// Stores a fresh listing.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn put_listing(
        &self,
        image: &ImageName,
        listing: &Listing,
        validators: Option<&Validators>,
    ) -> Result<(), StoreError> {
        let (image, listing) = (image.clone(), listing.clone());
        self.write(&[Entry::Listing { image, listing, validators: validators.cloned() }])
    }

    /// Stores a tag's manifest.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn put_manifest(
        &self,
        image: &ImageName,
        tag: &Tag,
        manifest: &Manifest,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (image, tag, manifest) = (image.clone(), tag.clone(), manifest.clone());
        self.write(&[Entry::Manifest { image, tag, manifest, at }])
    }

    /// The last good listing, with the age of its tags as far as known, and the validators for the next request.
    #[must_use]
    pub fn listing(&self, image: &ImageName) -> Option<(Listing, Option<Validators>)> {
        let read = self.database.begin_read().ok()?;
        let name = image.to_string();
        let (mut listing, validators) =
            read_listing(&name, &read.open_table(LISTINGS).ok()?, &read.open_table(NAMES).ok()?)?;
        let confirmed = read.open_table(CONFIRMED).ok().and_then(|table| Some(table.get(name.as_str()).ok()??.value()));
        if let Some(at) = confirmed.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            listing.at = listing.at.max(at);
        }
        listing.tags = Arc::new(Arc::unwrap_or_clone(listing.tags).appearing(first_seen(&read, &name)));
        Some((listing, validators))
    }

    /// The validators of a listing, without reading the listing itself, which may be long.
    #[must_use]
    pub fn validators(&self, image: &ImageName) -> Option<Validators> {
        let read = self.database.begin_read().ok()?;
        let head = read.open_table(LISTINGS).ok()?.get(image.to_string().as_str()).ok()??;
        encode::Reading::new(head.value())?.validators()
    }

    /// Records that these images are named now, and once a day forgets images that nothing has named for too long.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn forget(
        &self,
        named: &BTreeSet<ImageName>,
        now: Timestamp,
        unnamed_for: SignedDuration,
    ) -> Result<(), StoreError> {
        let recent = |at: Timestamp| (SignedDuration::ZERO..forget::DAY).contains(&now.duration_since(at));
        let looked = self.memory(FORGETTING).and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        let due = !looked.is_some_and(recent);
        let named = self.unnoted(named, recent);
        if named.is_empty() && !due {
            return Ok(());
        }
        let mut written = self.database.begin_write().map_err(redb::Error::from).map_err(failed)?;
        written.set_quick_repair(true);
        forget::note(&written, &named, now).map_err(failed)?;
        if due {
            forget::unnamed(&written, now, unnamed_for).map_err(failed)?;
            let entry = Entry::Memory { key: FORGETTING.to_owned(), bytes: now.to_string().into_bytes() };
            write_entry(&written, &entry).map_err(failed)?;
        }
        written.commit().map_err(redb::Error::from).map_err(failed)
    }

    /// Those of these images without a recent record.
    fn unnoted(&self, named: &BTreeSet<ImageName>, recent: impl Fn(Timestamp) -> bool) -> Vec<String> {
        let read = self.database.begin_read().ok();
        let table = read.and_then(|read| read.open_table(NAMED).ok());
        let noted = |image: &str| {
            let second = table.as_ref()?.get(image).ok()??.value();
            Timestamp::from_second(second).ok()
        };
        named.iter().map(ToString::to_string).filter(|image| !noted(image).is_some_and(&recent)).collect()
    }

    /// The data last stored under a key.
    #[must_use]
    pub fn memory(&self, key: &str) -> Option<Vec<u8>> {
        let read = self.database.begin_read().ok()?;
        let stored = read.open_table(MEMORY).ok()?.get(key).ok()??;
        Some(stored.value().to_vec())
    }

    /// When a manifest with this digest was first read, under any tag.
    #[must_use]
    pub fn first_seen(&self, image: &ImageName, digest: &Digest) -> Option<Timestamp> {
        let read = self.database.begin_read().ok()?;
        let name = image.to_string();
        let second = read.open_table(DIGESTS).ok()?.get((name.as_str(), digest.as_str())).ok()??.value();
        Timestamp::from_second(second).ok()
    }

    /// The tag's manifest, and when it was read.
    #[must_use]
    pub fn manifest(&self, image: &ImageName, tag: &Tag) -> Option<(Manifest, Timestamp)> {
        let read = self.database.begin_read().ok()?;
        let name = image.to_string();
        let stored = read.open_table(MANIFESTS).ok()?.get((name.as_str(), tag.as_str())).ok()??;
        encode::read_manifest(stored.value())
    }
}

enum Refusal {
    Busy,
    Io(std::io::Error),
    Damaged(String),
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Opens a file and reads all of it once against its checksums, so that damage shows here and not later as missing
/// entries. A cache is small. redb assumes intact files and may panic on others, which counts as damaged too.
fn open_file(path: &Path) -> Result<Database, Refusal> {
    let opened = std::panic::catch_unwind(|| {
        let mut database = builder().create(path)?;
        database.check_integrity().map(|whole| (database, whole))
    });
    match opened {
        Err(_panic) => Err(Refusal::Damaged("it is not in the format that the database library expects".to_owned())),
        Ok(Ok((database, true))) => Ok(database),
        Ok(Ok((database, false))) => {
            tracing::warn!(path = %path.display(), "the cache was damaged and has been repaired");
            Ok(database)
        }
        Ok(Err(error)) => Err(refusal(error)),
    }
}

fn refusal(error: redb::DatabaseError) -> Refusal {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};

    use redb::{DatabaseError, StorageError};
    match error {
        DatabaseError::DatabaseAlreadyOpen => Refusal::Busy,
        // A file that is not in redb's format, or is shorter than its header says, is reported as invalid data.
        DatabaseError::Storage(StorageError::Io(error)) if !matches!(error.kind(), InvalidData | UnexpectedEof) => {
            Refusal::Io(error)
        }
        other => Refusal::Damaged(other.to_string()),
    }
}

fn failed(error: redb::Error) -> StoreError {
    StoreError::Write(Box::new(error))
}

fn write_entry(written: &WriteTransaction, entry: &Entry) -> Result<(), redb::Error> {
    match entry {
        Entry::Listing { image, listing, validators } => write_listing(written, image, listing, validators.as_ref()),
        Entry::Unchanged { image, at } => {
            written.open_table(CONFIRMED)?.insert(image.to_string().as_str(), at.as_second())?;
            Ok(())
        }
        Entry::Manifest { image, tag, manifest, at } => {
            let name = image.to_string();
            let bytes = encode::manifest(manifest, *at);
            written.open_table(MANIFESTS)?.insert((name.as_str(), tag.as_str()), bytes.as_slice())?;
            let (mut digests, key) = (written.open_table(DIGESTS)?, (name.as_str(), manifest.digest.as_str()));
            // A clock that was once ahead must not keep an image young forever.
            if digests.get(key)?.is_none_or(|known| known.value() > at.as_second()) {
                digests.insert(key, at.as_second())?;
            }
            Ok(())
        }
        Entry::Memory { key, bytes } => {
            written.open_table(MEMORY)?.insert(key.as_str(), bytes.as_slice())?;
            Ok(())
        }
    }
}

fn write_listing(
    written: &WriteTransaction,
    image: &ImageName,
    listing: &Listing,
    validators: Option<&Validators>,
) -> Result<(), redb::Error> {
    let name = image.to_string();
    let mut listings = written.open_table(LISTINGS)?;
    let mut first_seen = written.open_table(FIRST_SEEN)?;
    let mut names = written.open_table(NAMES)?;
    let known = read_listing(&name, &listings, &names);
    written.open_table(CONFIRMED)?.insert(name.as_str(), listing.at.as_second())?;
    if let Some((before, asked_with)) = known {
        if before.tags.same_names(&listing.tags)
            && before.dropped == listing.dropped
            && asked_with.as_ref() == validators
        {
            return Ok(());
        }
        // A clock that was once ahead must not keep a tag the newest: what was there before is older than what is new.
        // Their order stays as it was.
        let earlier = before.at.as_second().min(listing.at.as_second() - 1);
        for (back, tag) in (0..).zip(seen_after(&first_seen, &name, listing.at.as_second())?) {
            first_seen.insert((name.as_str(), tag.as_str()), earlier - back)?;
        }
        for tag in listing.tags.without(&before.tags) {
            first_seen.insert((name.as_str(), tag.as_str()), listing.at.as_second())?;
        }
        let mut manifests = written.open_table(MANIFESTS)?;
        for gone in before.tags.without(&listing.tags) {
            first_seen.remove((name.as_str(), gone.as_str()))?;
            manifests.remove((name.as_str(), gone.as_str()))?;
        }
    }
    written.delete_table(OLD_LISTINGS)?;
    listings.insert(name.as_str(), encode::head(listing, validators).as_slice())?;
    let mut row = 0;
    for text in encode::rows(&listing.tags) {
        names.insert((name.as_str(), row), text.as_bytes())?;
        row += 1;
    }
    while names.remove((name.as_str(), row))?.is_some() {
        row += 1;
    }
    Ok(())
}

/// The tags of an image that are said to have appeared after a time.
fn seen_after(
    first_seen: &impl redb::ReadableTable<(&'static str, &'static str), i64>,
    name: &str,
    second: i64,
) -> Result<Vec<String>, redb::Error> {
    let mut late = Vec::new();
    for row in first_seen.range((name, "")..(name, "\u{7f}"))? {
        let (key, seen) = row?;
        late.extend((seen.value() > second).then(|| (seen.value(), key.value().1.to_owned())));
    }
    late.sort_by_key(|(seen, _)| std::cmp::Reverse(*seen));
    Ok(late.into_iter().map(|(_, tag)| tag).collect())
}

/// A listing from its two tables.
fn read_listing(
    name: &str,
    heads: &impl redb::ReadableTable<&'static str, &'static [u8]>,
    names: &impl redb::ReadableTable<(&'static str, u32), &'static [u8]>,
) -> Option<(Listing, Option<Validators>)> {
    let mut reading = encode::Reading::new(heads.get(name).ok()??.value())?;
    for row in names.range((name, 0)..=(name, u32::MAX)).ok()? {
        reading.row(row.ok()?.1.value())?;
    }
    reading.finish()
}

/// When tags of an image first appeared, by tag. Empty if the table does not exist yet.
fn first_seen(read: &ReadTransaction, name: &str) -> Vec<(String, Timestamp)> {
    let Ok(table) = read.open_table(FIRST_SEEN) else { return Vec::new() };
    // Tags are ASCII, so this is after the last of them.
    let Ok(rows) = table.range((name, "")..(name, "\u{7f}")) else { return Vec::new() };
    let known = rows
        .flatten()
        .filter_map(|(key, second)| Some((key.value().1.to_owned(), Timestamp::from_second(second.value()).ok()?)));
    known.collect()
}
