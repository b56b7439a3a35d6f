//! Answers about registries: queried once, however many overlays, branches and repositories need them.
//!
//! Promise: within one cycle a registry's repository is listed once. A slow registry delays nobody who does not query
//! it, and a silent one delays those who also query others only as [`board`] says (G6).
//!
//! Design: [`ask`] queries the registry and the cache, [`board`] holds pending queries. A query whose registry stays
//! silent continues in the background: the cycle does without its answer and says so, and the answer serves the next
//! caller. Which registries were silent is cached, so that the next process knows too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::{Answer, ChartChange, Digest, FailureCode, ImageName, Quota, Tag};
use crate::plan::{Answers, RegistryQuery};
use crate::registry::RegistryClient;
use crate::store::{Entry, Store};
use crate::verify::TrustedRoot;

use super::clock::Clock;

mod ask;
mod board;
mod charts;
mod verified;

use ask::{Asker, RegistryAnswer};
use board::{Board, Open, Silent};

pub use board::PATIENCE;
pub(in crate::daemon) use charts::ChartStep;

/// The cache key for silent registries.
const SILENT: &str = "silent-registries-1";

/// How long the archives of charts are waited for, all at once: they only say more about what is written anyway.
const CHART_PATIENCE: Duration = Duration::from_secs(15);

/// All registries, with a cache.
#[derive(Debug)]
pub struct Lookup {
    asker: Arc<Asker>,
    board: Board,
}

impl Lookup {
    /// A lookup with this client and cache.
    #[must_use]
    pub fn new(client: RegistryClient, store: Store, clock: Clock) -> Self {
        let silent = store.memory(SILENT).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let silent: BTreeMap<String, Timestamp> = silent.unwrap_or_default();
        Self { asker: Arc::new(Asker::new(client, Arc::new(store), clock)), board: Board::new(silent) }
    }

    /// The same, with what keyless signatures are checked against; without it, none of them counts.
    #[must_use]
    pub fn trusting(self, root: TrustedRoot) -> Self {
        self.asker.trust(root);
        self
    }

    /// What tags stand for at this moment: nothing is taken from earlier answers. A registry that stays silent is not waited for
    /// longer than [`PATIENCE`].
    pub async fn resolve_now(&self, tags: &BTreeSet<(ImageName, Tag)>) -> BTreeMap<(ImageName, Tag), Answer<Digest>> {
        let asked = tags.iter().map(|(name, tag)| async move {
            let query = RegistryQuery::Digest(name.clone(), tag.clone());
            let answer = match tokio::time::timeout(PATIENCE, self.asker.ask(&query)).await {
                Ok(RegistryAnswer::Digest(answer)) => answer,
                _ => Answer::Failed {
                    message: format!("the registry {} does not answer", name.registry()),
                    code: FailureCode::Network,
                    last: None,
                },
            };
            ((name.clone(), tag.clone()), answer)
        });
        join_all(asked).await.into_iter().collect()
    }

    /// What changes in these charts, from one version to another; without the former one, what the latter says of itself. Nothing waits for
    /// it long, and whoever does not answer is not silent for it: it may be the host of an archive alone.
    pub(in crate::daemon) async fn chart_changes(
        &self,
        wanted: BTreeSet<ChartStep>,
    ) -> BTreeMap<ChartStep, ChartChange> {
        let read = wanted.into_iter().map(|step| async move {
            let change = tokio::time::timeout(CHART_PATIENCE, self.asker.chart_change(&step)).await;
            let late = || ChartChange::unread(format!("its archives were not there within {CHART_PATIENCE:?}"));
            let change = change.unwrap_or_else(|_| late());
            (step, change)
        });
        join_all(read).await.into_iter().collect()
    }

    /// The cache.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        self.asker.store()
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.asker.now()
    }

    /// HTTP requests sent so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.asker.requests()
    }

    /// What an image's host said last about how many requests it still accepts.
    #[must_use]
    pub fn quota(&self, image: &ImageName) -> Option<Quota> {
        self.asker.quota(image)
    }

    /// Answers every query in `queries` into `answers`, however long it takes; answers older than `since` are requested
    /// again.
    pub async fn answer(&self, queries: &BTreeSet<RegistryQuery>, since: Timestamp, answers: &mut Answers) {
        let queries = &self.ask(queries, since);
        let given = queries.iter().map(|query| async move { (query, self.board.answer(query).await) });
        for (query, answer) in join_all(given).await {
            self.put(answers, query.clone(), answer.unwrap_or_else(|| self.broken(query)));
        }
    }

    /// The same without waiting for silent registries: their queries are answered as failed, with the last good listing
    /// if there is one, and are returned. They continue in the background; [`Lookup::wait`] waits for them.
    pub async fn answer_soon(
        &self,
        queries: &BTreeSet<RegistryQuery>,
        since: Timestamp,
        answers: &mut Answers,
    ) -> BTreeSet<RegistryQuery> {
        let queries = &self.ask(queries, since);
        let (given, open) = self.board.gather(queries, self.asker.now()).await;
        for (query, answer) in given {
            let answer = answer.unwrap_or_else(|| self.broken(&query));
            self.put(answers, query, answer);
        }
        for open in &open {
            self.put(answers, open.query.clone(), self.asker.late(&open.query, unanswered(open)));
        }
        open.into_iter().map(|open| open.query).collect()
    }

    /// From now on answers about this image must have been requested at this time or later: it may have changed.
    pub fn renew(&self, image: &ImageName, at: Timestamp) {
        self.board.renew(image, at);
    }

    /// The name under which an image's registry is asked: its own, or that of the image that it mirrors.
    #[must_use]
    pub fn origin(&self, image: &ImageName) -> ImageName {
        self.asker.origin(image)
    }

    /// Waits until late queries have been answered or have finally failed, and no longer than `deadline`.
    pub async fn wait(&self, late: &BTreeSet<RegistryQuery>, deadline: Option<Instant>) {
        let answered = join_all(late.iter().map(|query| self.board.answer(query)));
        match deadline {
            Some(deadline) => drop(tokio::time::timeout_at(deadline, answered).await),
            None => drop(answered.await),
        }
    }

    /// Ends a cycle: forgets old answers, and writes new results to the cache.
    pub fn flush(&self) {
        self.board.forget(self.asker.now());
        if let Some(silent) = self.board.silent_hosts() {
            // Names and times can always be encoded; if not, nothing would be remembered.
            let bytes = serde_json::to_vec(&silent).unwrap_or_default();
            self.asker.learn(Entry::Memory { key: SILENT.to_owned(), bytes });
        }
        self.asker.flush();
        self.asker.forget(&self.board.images());
    }

    /// Starts all queries before waiting for the first; the client limits how many are pending per registry. Returns
    /// the queries under which the answers are found.
    fn ask(&self, queries: &BTreeSet<RegistryQuery>, since: Timestamp) -> BTreeSet<RegistryQuery> {
        let now = self.asker.now();
        let mut asked = BTreeMap::new();
        for query in queries {
            let (query, since) = match query {
                RegistryQuery::Relisting(name, at) => (RegistryQuery::Listing(name.clone()), since.max(*at)),
                query => (query.clone(), since),
            };
            let latest = asked.entry(query).or_insert(since);
            *latest = since.max(*latest);
        }
        for (query, since) in &asked {
            let (asker, asked) = (Arc::clone(&self.asker), query.clone());
            self.board.ask(query, (*since, now), async move { asker.ask(&asked).await });
        }
        asked.into_keys().collect()
    }

    fn put(&self, answers: &mut Answers, query: RegistryQuery, answer: RegistryAnswer) {
        match (query, answer) {
            (RegistryQuery::Listing(name), RegistryAnswer::Listing(answer)) => {
                drop(answers.listings.insert(name, answer));
            }
            (RegistryQuery::Digest(name, tag), RegistryAnswer::Digest(answer)) => {
                drop(answers.digests.insert((name, tag), answer));
            }
            (RegistryQuery::Manifest(name, tag), RegistryAnswer::Manifest(answer)) => {
                if let Answer::Known(manifest) = &answer {
                    let now = self.asker.now();
                    // A clock that was once ahead must not keep an image young until it is as late again.
                    let seen = self.store().first_seen(&name, &manifest.digest).map_or(now, |seen| seen.min(now));
                    answers.first_seen.insert((name.clone(), manifest.digest.clone()), seen);
                }
                drop(answers.manifests.insert((name, tag), answer));
            }
            (RegistryQuery::Written(name, tag), RegistryAnswer::Written(answer)) => {
                drop(answers.written.insert((name, tag), answer));
            }
            (RegistryQuery::Created(name, tag), RegistryAnswer::Created(answer)) => {
                drop(answers.created.insert((name, tag), answer));
            }
            (RegistryQuery::Signatures(name, digest, demand), RegistryAnswer::Signatures(answer)) => {
                drop(answers.signatures.insert((name, digest, demand), answer));
            }
            // An answer is of its query's kind. Each query is named, so that a new one without an arm is no silence.
            (
                RegistryQuery::Listing(_)
                | RegistryQuery::Relisting(..)
                | RegistryQuery::Digest(..)
                | RegistryQuery::Manifest(..)
                | RegistryQuery::Written(..)
                | RegistryQuery::Created(..)
                | RegistryQuery::Signatures(..),
                _,
            ) => {}
        }
    }

    fn broken(&self, query: &RegistryQuery) -> RegistryAnswer {
        let host = query.image().registry();
        self.asker.late(query, format!("the query to the registry {host} failed because of a bug in the bot"))
    }
}

fn unanswered(open: &Open) -> String {
    let (image, since) = (open.query.image(), open.since.strftime("%Y-%m-%d %H:%M:%S UTC"));
    let host = image.registry();
    match open.silent {
        Silent::Registry => format!(
            "the registry {host} has not answered yet (queried at {since}); its images are checked again as soon as it \
             does, and all others proceed"
        ),
        Silent::Question => format!(
            "the registry {host} has not answered about {image} yet (queried at {since}), although it answers about others; \
             the image is checked again as soon as it does"
        ),
    }
}
