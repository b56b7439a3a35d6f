//! One query to one registry, answered from the registry and the cache together.
//!
//! Promise: a failed query keeps the last good answer and says so; new results are written once per cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use jiff::{SignedDuration, Timestamp};

use crate::model::{
    Answer, ChartChange, Digest, FailureCode, ImageName, Listing, Manifest, Quota, SignatureVerdict, SignedThing,
    Signer, Tag, TagList, Verification,
};
use crate::overlay::chart_change;
use crate::plan::RegistryQuery;
use crate::registry::{RegistryClient, RegistryError, SoughtDocuments, TagsAnswer};
use crate::store::{Entry, Store};
use crate::verify::{Search, TrustedRoot};

use super::charts::{ChartKey, ChartMemory, ChartStep};
use super::verified::{VerificationKey, VerifiedMemory};
use crate::daemon::clock::Clock;

/// How long a cached creation time is used for ordering before it is read again: a tag can be pushed again.
const REMEMBER: SignedDuration = SignedDuration::from_hours(24);

/// How long an image is remembered after nothing names it any more.
const UNNAMED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The registries, and the cache of their answers.
#[derive(Debug)]
pub(super) struct Asker {
    client: RegistryClient,
    store: Arc<Store>,
    clock: Clock,
    /// New results since the last [`Asker::flush`]: one transaction per cycle.
    learned: Mutex<Vec<Entry>>,
    /// Taken by one long list after the other, so that no more of them are in hand than are counted.
    held: tokio::sync::Mutex<LongLists>,
    /// What keyless signatures are checked against.
    root: OnceLock<TrustedRoot>,
    /// What has been verified.
    verified: VerifiedMemory,
    /// What has been read of charts.
    charts: ChartMemory,
}

/// The result of a query.
#[derive(Debug, Clone)]
pub(super) enum RegistryAnswer {
    Listing(Answer<Listing>),
    Digest(Answer<Digest>),
    Manifest(Answer<Manifest>),
    Written(Answer<Manifest>),
    Created(Answer<Option<Timestamp>>),
    Signatures(Answer<SignatureVerdict>),
}

/// The long listings currently in memory, the newest per image: registries and images may be many, and memory is
/// limited.
#[derive(Debug, Default)]
struct LongLists(BTreeMap<ImageName, Weak<TagList>>);

impl LongLists {
    /// From this many bytes on, a listing is long.
    const LONG: usize = 1 << 20;
    /// Maximum total size of all long listings in bytes.
    const MOST: usize = 48 << 20;

    /// Whether there is room for a listing of this size, or why not. An older listing of the same image, with which a
    /// repository may still be planning, will soon be dropped and must not keep out the fresh one.
    fn room(&mut self, name: &ImageName, size: usize) -> Result<(), String> {
        self.0.retain(|image, held| image != name && held.strong_count() > 0);
        let held: usize = self.0.values().filter_map(Weak::upgrade).map(|held| held.size()).sum();
        if held + size > Self::MOST {
            let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
            return Err(format!(
                "with {} MiB the long lists of all images would take more than {} MiB of memory; prune old tags, or \
                 configure fewer images with so many",
                mebibytes(size),
                mebibytes(Self::MOST)
            ));
        }
        Ok(())
    }

    /// Counts a list in.
    fn hold(&mut self, name: &ImageName, tags: &Arc<TagList>) {
        self.0.insert(name.clone(), Arc::downgrade(tags));
    }
}

impl RegistryAnswer {
    /// Whether the registry said anything; being unreachable or too slow does not count.
    pub(super) fn is_heard(&self) -> bool {
        fn heard<T>(answer: &Answer<T>) -> bool {
            !matches!(answer, Answer::Failed { code: FailureCode::Network, .. })
        }
        match self {
            Self::Listing(answer) => heard(answer),
            Self::Digest(answer) => heard(answer),
            Self::Manifest(answer) | Self::Written(answer) => heard(answer),
            Self::Created(answer) => heard(answer),
            Self::Signatures(answer) => heard(answer),
        }
    }
}

impl Asker {
    pub(super) fn new(client: RegistryClient, store: Arc<Store>, clock: Clock) -> Self {
        let (verified, charts) = (VerifiedMemory::open(&store), ChartMemory::open(&store));
        let (learned, held) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { client, store, clock, learned, held, root: OnceLock::new(), verified, charts }
    }

    /// From now on keyless signatures are checked against this; the first one stays.
    pub(super) fn trust(&self, root: TrustedRoot) {
        drop(self.root.set(root));
    }

    /// The name under which an image's registry is asked.
    pub(super) fn origin(&self, image: &ImageName) -> ImageName {
        self.client.origin(image).into_owned()
    }

    /// HTTP requests sent so far.
    pub(super) fn requests(&self) -> u64 {
        self.client.requests()
    }

    /// What an image's host said last about how many requests it still accepts.
    pub(super) fn quota(&self, image: &ImageName) -> Option<Quota> {
        self.client.quota(image)
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Forgets images that none of these queries has named: at once what is only in memory, after a month what is in the cache.
    pub(super) fn forget(&self, named: &BTreeSet<ImageName>) {
        self.client.forget(named);
        if let Err(error) = self.store.forget(named, self.clock.now(), UNNAMED) {
            tracing::debug!(%error, "old images could not be removed from the cache");
        }
    }

    /// Writes new results to the cache; if that fails, it only costs time.
    pub(super) fn flush(&self) {
        self.verified.news().into_iter().chain(self.charts.news()).for_each(|news| self.learn(news));
        let learned = std::mem::take(&mut *self.learned.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = self.store.write(&learned) {
            tracing::warn!(%error, "the cache was not written; listings will be requested in full after a restart");
        }
    }

    pub(super) async fn ask(&self, query: &RegistryQuery) -> RegistryAnswer {
        match query {
            RegistryQuery::Listing(name) | RegistryQuery::Relisting(name, _) => {
                RegistryAnswer::Listing(self.listing(name).await)
            }
            RegistryQuery::Digest(name, tag) => {
                RegistryAnswer::Digest(answered(self.client.resolve(name, tag).await, || None))
            }
            RegistryQuery::Manifest(name, tag) => RegistryAnswer::Manifest(self.manifest(name, tag).await),
            RegistryQuery::Written(name, tag) => RegistryAnswer::Written(self.written(name, tag).await),
            RegistryQuery::Created(name, tag) => RegistryAnswer::Created(self.created(name, tag).await),
            RegistryQuery::Signatures(name, digest, demand) => {
                RegistryAnswer::Signatures(self.signatures(name, digest, demand).await)
            }
        }
    }

    /// The answer to a query that is still pending: unknown, with the last good listing if there is one.
    pub(super) fn late(&self, query: &RegistryQuery, message: String) -> RegistryAnswer {
        fn failed<T>(message: String, last: Option<T>) -> Answer<T> {
            Answer::Failed { message, code: FailureCode::Network, last }
        }
        match query {
            RegistryQuery::Listing(name) | RegistryQuery::Relisting(name, _) => {
                RegistryAnswer::Listing(failed(message, self.store.listing(name).map(|(listing, _)| listing)))
            }
            RegistryQuery::Digest(..) => RegistryAnswer::Digest(failed(message, None)),
            RegistryQuery::Manifest(..) => RegistryAnswer::Manifest(failed(message, None)),
            RegistryQuery::Written(..) => RegistryAnswer::Written(failed(message, None)),
            RegistryQuery::Created(..) => RegistryAnswer::Created(failed(message, None)),
            RegistryQuery::Signatures(..) => RegistryAnswer::Signatures(failed(message, None)),
        }
    }

    pub(super) fn learn(&self, entry: Entry) {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    async fn listing(&self, name: &ImageName) -> Answer<Listing> {
        // The previous listing, which may be long, is read only when the new one has arrived, so that not both are in
        // memory while it is received.
        let before = || self.store.listing(name).map(|(listing, _)| listing);
        let mut answer = self.client.tags(name, self.store.validators(name).as_ref()).await;
        if let Ok(TagsAnswer::NotModified) = answer {
            if let Some(listing) = before() {
                let at = self.clock.now();
                self.learn(Entry::Unchanged { image: name.clone(), at });
                return Answer::Known(Listing { at, ..listing });
            }
            // If the cache has the validators but can no longer provide the listing, the registry sends it again.
            answer = self.client.tags(name, None).await;
        }
        let at = self.clock.now();
        match answer {
            Ok(TagsAnswer::NotModified) => Answer::Failed {
                message: format!("{name}: the registry says \"not modified\" about a listing that it never sent"),
                code: FailureCode::Protocol,
                last: None,
            },
            Ok(TagsAnswer::Fresh { tags, dropped, validators }) => {
                let mut held = match tags.size() < LongLists::LONG {
                    true => None,
                    false => Some(self.held.lock().await),
                };
                if let Some(Err(message)) = held.as_mut().map(|held| held.room(name, tags.size())) {
                    let message = format!("{name}: its list of {} tags is not accepted: {message}", tags.len());
                    return Answer::Failed { message, code: FailureCode::Protocol, last: None };
                }
                // The tags of the very first listing existed before, so the time of their appearance is unknown.
                let tags = match before() {
                    Some(before) => tags.following(&before.tags, at),
                    None => tags,
                };
                let listing = Listing { tags: Arc::new(tags), dropped, at };
                if let Some(held) = &mut held {
                    held.hold(name, &listing.tags);
                }
                drop(held);
                self.learn(Entry::Listing { image: name.clone(), listing: listing.clone(), validators });
                Answer::Known(listing)
            }
            Err(error) => answered(Err(error), before),
        }
    }

    /// What a tag refers to now. If that has not changed, a single `HEAD` shows it: a manifest and its configuration
    /// never change under the same digest.
    async fn manifest(&self, name: &ImageName, tag: &Tag) -> Answer<Manifest> {
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
        answered(answer, || None)
    }

    async fn written(&self, name: &ImageName, tag: &Tag) -> Answer<Manifest> {
        match self.store.manifest(name, tag) {
            Some((manifest, _)) => Answer::Known(manifest),
            None => self.manifest(name, tag).await,
        }
    }

    async fn created(&self, name: &ImageName, tag: &Tag) -> Answer<Option<Timestamp>> {
        if let Some((manifest, at)) = self.store.manifest(name, tag)
            && (SignedDuration::ZERO..REMEMBER).contains(&self.clock.now().duration_since(at))
        {
            return Answer::Known(manifest.created);
        }
        match self.manifest(name, tag).await {
            Answer::Known(manifest) => Answer::Known(manifest.created),
            Answer::Absent { message } => Answer::Absent { message },
            Answer::Failed { message, code, .. } => Answer::Failed { message, code, last: None },
        }
    }
}

impl Asker {
    /// What changes from one version of a chart to another, of which each archive is read once. What cannot be read is said in the answer.
    pub(super) async fn chart_change(&self, ChartStep { name, from, to }: &ChartStep) -> ChartChange {
        let mut digests = Vec::new();
        for tag in from.iter().chain([to]) {
            match self.written(name, tag).await {
                Answer::Known(manifest) => digests.push(manifest.digest),
                Answer::Absent { message } | Answer::Failed { message, .. } => return ChartChange::unread(message),
            }
        }
        let key = ChartKey::new(&digests);
        if let Some(change) = self.charts.get(&key) {
            return change;
        }
        let mut files = Vec::new();
        for tag in from.iter().chain([to]) {
            files.push(match self.client.chart_files(name, tag).await {
                Ok(read) => read.map_err(|reason| format!("{tag}: {reason}")),
                Err(error) => Err(error.to_string()),
            });
        }
        let unread = files.iter().find_map(|read| read.as_ref().err().cloned());
        let new = files.pop().and_then(Result::ok).unwrap_or_default();
        let old = files.pop().and_then(Result::ok);
        let change = ChartChange { unread, ..chart_change(old.as_ref(), &new) };
        if change.unread.is_none() {
            self.charts.keep(key, &change, self.clock.now());
        }
        change
    }

    /// Whether a digest has the demanded signatures: from the cache, if that was proved before, or from what its registry holds.
    async fn signatures(&self, name: &ImageName, digest: &Digest, demand: &Verification) -> Answer<SignatureVerdict> {
        let keyless = matches!(demand.signer, Signer::Identity { .. });
        let root = self.root.get();
        let fingerprint = root.filter(|_| keyless).map_or("", TrustedRoot::fingerprint);
        let key = VerificationKey::new(digest, demand, fingerprint);
        if let Some(evidence) = self.verified.proof(&key, digest) {
            return Answer::Known(SignatureVerdict::Verified(evidence));
        }
        if let Some(reason) = self.verified.refusal(&key, self.clock.now()) {
            return Answer::Known(SignatureVerdict::Refused { reason });
        }
        let attested = demand.wanted.iter().any(|wanted| *wanted != SignedThing::Image);
        let sought = if attested { SoughtDocuments::SignaturesAndAttestations } else { SoughtDocuments::Signatures };
        let mut search = Search::new(digest, demand, root);
        let looked = self.client.signatures(name, (digest, sought), &mut |document| search.take(document)).await;
        let now = self.clock.now();
        match (looked, search.verdict()) {
            (_, SignatureVerdict::Verified(evidence)) => {
                self.verified.prove(key, evidence.clone(), now);
                Answer::Known(SignatureVerdict::Verified(evidence))
            }
            (Ok(()), SignatureVerdict::Refused { reason }) => {
                self.verified.refuse(key, Some(reason.clone()), now);
                Answer::Known(SignatureVerdict::Refused { reason })
            }
            // Something is missing, and not everything could be looked at.
            (Err(error), SignatureVerdict::Refused { .. }) => {
                let since = self.verified.refuse(key, None, now);
                let message = format!(
                    "it is unknown since {since:.0} whether {name} at {digest} is signed, so it is not written: {error}"
                );
                Answer::Failed { message, code: error.code(), last: None }
            }
        }
    }
}

fn answered<T>(answer: Result<T, RegistryError>, last: impl FnOnce() -> Option<T>) -> Answer<T> {
    match answer {
        Ok(value) => Answer::Known(value),
        Err(error) if error.is_absent() => Answer::Absent { message: error.to_string() },
        Err(error) => Answer::Failed { message: error.to_string(), code: error.code(), last: last() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TagRef;

    #[test]
    fn long_lists_have_a_limit_together_and_make_room_when_they_go() {
        // Eighty bytes a name: some nine mebibytes a list.
        let names: Vec<String> = (0..110_000).map(|number| format!("{number:080}")).collect();
        let image = |number: usize| ImageName::parse(&format!("reg.example/acme/{number}")).unwrap();
        let list = || Arc::new(names.iter().map(|name| TagRef::parse(name).unwrap()).collect::<TagList>());
        let mut held = LongLists::default();
        let take = |held: &mut LongLists, number: usize, list: &Arc<TagList>| {
            held.room(&image(number), list.size()).map(|()| held.hold(&image(number), list))
        };
        let mut lists = Vec::new();
        let refused = loop {
            let list = list();
            if let Err(message) = take(&mut held, lists.len(), &list) {
                break message;
            }
            lists.push(list);
        };
        assert!(refused.contains("48 MiB") && lists.len() > 3, "{refused}, {}", lists.len());
        let fresh = list();
        assert_eq!(take(&mut held, 0, &fresh), Ok(()), "the old list of an image does not keep out its new one");
        lists.pop();
        assert_eq!(take(&mut held, 99, &list()), Ok(()));
    }
}
