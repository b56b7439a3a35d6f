//! Answers about registries: asked once however many overlays, branches and repositories want them.
//!
//! Promise: within one cycle a repository of a registry is listed once; a failed question keeps the last good answer and
//! says so; a slow registry delays nobody who does not ask it.
//!
//! Design: each question has a cell. Who comes first asks; the others wait for the same cell. An answer is good for every
//! cycle that began before it was given; a later cycle replaces the cell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;

use crate::model::{Digest, Fact, ImageName, Listing, Manifest, Tag, TagEntry};
use crate::plan::{Facts, Want};
use crate::registry::{RegistryClient, RegistryError, TagsAnswer};
use crate::store::{Entry, Store};

use super::clock::Clock;

/// Questions under way at once, over all registries; the client bounds each host further.
const CONCURRENT: usize = 64;

/// How long a remembered creation time orders tags before it is read again: a tag can be pushed anew.
const REMEMBER: SignedDuration = SignedDuration::from_hours(24);

/// How long an answer that nobody asks for again stays in memory.
const KEEP: SignedDuration = SignedDuration::from_hours(1);

/// The door to every registry, with memory.
#[derive(Debug)]
pub struct Lookup {
    client: RegistryClient,
    store: Store,
    clock: Clock,
    cells: Mutex<HashMap<Want, Cell>>,
    /// Learned since the last [`Lookup::flush`]: one transaction a cycle.
    learned: Mutex<Vec<Entry>>,
}

type Cell = (Timestamp, Arc<OnceCell<Answer>>);

#[derive(Debug, Clone)]
enum Answer {
    Listing(Fact<Listing>),
    Digest(Fact<Digest>),
    Manifest(Fact<Manifest>),
    Created(Fact<Option<Timestamp>>),
    /// Not a registry's question.
    None,
}

impl Lookup {
    /// A door over this client and cache.
    #[must_use]
    pub fn new(client: RegistryClient, store: Store, clock: Clock) -> Self {
        Self { client, store, clock, cells: Mutex::default(), learned: Mutex::default() }
    }

    /// HTTP requests sent so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.client.requests()
    }

    /// Answers every registry question in `wants` into `facts`; answers older than `since` are asked for again.
    pub async fn answer(&self, wants: &BTreeSet<Want>, since: Timestamp, facts: &mut Facts) {
        let asked = wants.iter().filter(|want| !matches!(want, Want::Pulls(_)));
        let mut answers = futures::stream::iter(asked)
            .map(|want| async move { (want.clone(), self.one(want, since).await) })
            .buffer_unordered(CONCURRENT);
        while let Some((want, answer)) = answers.next().await {
            match (want, answer) {
                (Want::Listing(name), Answer::Listing(fact)) => drop(facts.listings.insert(name, fact)),
                (Want::Digest(name, tag), Answer::Digest(fact)) => drop(facts.digests.insert((name, tag), fact)),
                (Want::Manifest(name, tag), Answer::Manifest(fact)) => drop(facts.manifests.insert((name, tag), fact)),
                (Want::Created(name, tag), Answer::Created(fact)) => drop(facts.created.insert((name, tag), fact)),
                _ => {}
            }
        }
    }

    /// Ends a cycle: old answers are forgotten, and what was learned is written to the cache; a cache that cannot be
    /// written costs only time.
    pub fn flush(&self) {
        let now = self.clock.now();
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|_, (at, _)| now.duration_since(*at).abs() < KEEP);
        drop(cells);
        let learned = std::mem::take(&mut *self.learned.lock().unwrap_or_else(PoisonError::into_inner));
        if learned.is_empty() {
            return;
        }
        if let Err(error) = self.store.write(&learned) {
            tracing::warn!(%error, "the cache was not written; listings will be asked for in full after a restart");
        }
    }

    fn learn(&self, entry: Entry) {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    async fn one(&self, want: &Want, since: Timestamp) -> Answer {
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            // An answer from the time to come is from a clock that was wrong.
            let fresh = cells.get(want).filter(|(at, _)| *at >= since && *at <= now).map(|(_, cell)| Arc::clone(cell));
            fresh.unwrap_or_else(|| {
                let cell = Arc::default();
                drop(cells.insert(want.clone(), (now, Arc::clone(&cell))));
                cell
            })
        };
        cell.get_or_init(|| self.ask(want)).await.clone()
    }

    async fn ask(&self, want: &Want) -> Answer {
        match want {
            Want::Listing(name) => Answer::Listing(self.listing(name).await),
            Want::Digest(name, tag) => Answer::Digest(fact(self.client.resolve(name, tag).await, || None)),
            Want::Manifest(name, tag) => Answer::Manifest(self.manifest(name, tag).await),
            Want::Created(name, tag) => Answer::Created(self.created(name, tag).await),
            Want::Pulls(_) => Answer::None,
        }
    }

    async fn listing(&self, name: &ImageName) -> Fact<Listing> {
        let before = self.store.listing(name);
        let validators = before.as_ref().and_then(|(_, validators)| validators.as_ref());
        let answer = self.client.tags(name, validators).await;
        let at = self.clock.now();
        match answer {
            Ok(TagsAnswer::NotModified) => match before {
                Some((listing, _)) => {
                    self.learn(Entry::Unchanged { image: name.clone(), at });
                    Fact::Known(Listing { at, ..listing })
                }
                None => Fact::Failed {
                    message: format!("{name}: the registry says \"not modified\" about a list that was never given"),
                    code: crate::model::FailureCode::Protocol,
                    last: None,
                },
            },
            Ok(TagsAnswer::Fresh { tags, dropped, validators }) => {
                let tags = first_seen(tags, before.as_ref().map(|(listing, _)| listing), at);
                let listing = Listing { tags, dropped, at };
                self.learn(Entry::Listing { image: name.clone(), listing: listing.clone(), validators });
                Fact::Known(listing)
            }
            Err(error) => fact(Err(error), || before.map(|(listing, _)| listing)),
        }
    }

    /// What a tag stands for now. Where that is what it stood for before, one `HEAD` says so: a manifest and its
    /// configuration never change under the same digest.
    async fn manifest(&self, name: &ImageName, tag: &Tag) -> Fact<Manifest> {
        let before = self.store.manifest(name, tag).map(|(manifest, _)| manifest);
        let answer = match before {
            None => self.client.manifest(name, tag).await,
            Some(before) => match self.client.resolve(name, tag).await {
                Ok(digest) if digest == before.digest => Ok(before),
                Ok(_) => self.client.manifest(name, tag).await,
                Err(error) => Err(error),
            },
        };
        if let Ok(manifest) = &answer {
            let (image, tag, manifest) = (name.clone(), tag.clone(), manifest.clone());
            self.learn(Entry::Manifest { image, tag, manifest, at: self.clock.now() });
        }
        fact(answer, || None)
    }

    async fn created(&self, name: &ImageName, tag: &Tag) -> Fact<Option<Timestamp>> {
        if let Some((manifest, at)) = self.store.manifest(name, tag)
            && (SignedDuration::ZERO..REMEMBER).contains(&self.clock.now().duration_since(at))
        {
            return Fact::Known(manifest.created);
        }
        match self.manifest(name, tag).await {
            Fact::Known(manifest) => Fact::Known(manifest.created),
            Fact::Absent { message } => Fact::Absent { message },
            Fact::Failed { message, code, .. } => Fact::Failed { message, code, last: None },
        }
    }
}

fn fact<T>(answer: Result<T, RegistryError>, last: impl FnOnce() -> Option<T>) -> Fact<T> {
    match answer {
        Ok(value) => Fact::Known(value),
        Err(error) if error.is_absent() => Fact::Absent { message: error.to_string() },
        Err(error) => Fact::Failed { message: error.to_string(), code: error.code(), last: last() },
    }
}

/// Keeps the first-seen time of every tag; tags of the very first listing were there before, so theirs is unknown.
fn first_seen(tags: Vec<Tag>, before: Option<&Listing>, now: Timestamp) -> Vec<TagEntry> {
    let Some(before) = before else {
        return tags.into_iter().map(|tag| TagEntry { tag, created: None }).collect();
    };
    let known: BTreeMap<&Tag, Option<Timestamp>> =
        before.tags.iter().map(|entry| (&entry.tag, entry.created)).collect();
    tags.into_iter()
        .map(|tag| {
            let created = known.get(&tag).copied().unwrap_or(Some(now));
            TagEntry { tag, created }
        })
        .collect()
}
