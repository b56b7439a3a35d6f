//! Answers about registries: asked once however many overlays, branches and repositories query them.
//!
//! Promise: within one cycle a repository of a registry is listed once; a slow registry delays nobody who does not ask it,
//! and a silent one delays those who ask others too by [`PATIENCE`] at most (G6).
//!
//! Design: each query has a cell, and a task that asks. Who comes first starts the task; the others wait for the same
//! cell. An answer is good for every cycle that began before it was given; a later cycle replaces the cell. A question
//! whose registry stays silent is left to go on by itself: the cycle does without its answer, says so, and the answer
//! serves whoever asks next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::plan::{Answers, RegistryQuery};
use crate::registry::RegistryClient;
use crate::store::Store;

use super::clock::Clock;

mod ask;

use ask::{Asker, RegistryAnswer};

/// How long a registry may answer nothing at all before a cycle goes on without it.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a cycle waits for one question whose registry answers others meanwhile.
const LIMIT: Duration = Duration::from_secs(60);

/// How long an answer that nobody asks for again stays in memory.
const KEEP: SignedDuration = SignedDuration::from_hours(1);

/// The door to every registry, with memory.
#[derive(Debug)]
pub struct Lookup {
    asker: Arc<Asker>,
    cells: Mutex<HashMap<RegistryQuery, Cell>>,
    /// When each registry last answered anything, for better or worse.
    heard: Arc<Mutex<HashMap<String, Instant>>>,
}

/// A question that was asked.
#[derive(Debug, Clone)]
struct Cell {
    asked: Timestamp,
    began: Instant,
    answer: watch::Receiver<Option<RegistryAnswer>>,
}

impl Lookup {
    /// A door over this client and cache.
    #[must_use]
    pub fn new(client: RegistryClient, store: Store, clock: Clock) -> Self {
        Self {
            asker: Arc::new(Asker::new(client, Arc::new(store), clock)),
            cells: Mutex::default(),
            heard: Arc::default(),
        }
    }

    /// The cache.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        self.asker.store()
    }

    /// HTTP requests sent so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.asker.requests()
    }

    /// Answers every registry question in `queries` into `answers`, however long it takes; answers older than `since` are
    /// asked for again.
    pub async fn answer(&self, queries: &BTreeSet<RegistryQuery>, since: Timestamp, answers: &mut Answers) {
        let mut given = self
            .each(queries, |query| async move { (query.clone(), self.given(query, self.cell(query, since)).await) });
        while let Some((query, answer)) = given.next().await {
            put(answers, query, answer);
        }
    }

    /// The same, but silent registries are not waited for: their queries are answered as failed, with the last good
    /// listing where there is one, and returned. They go on by themselves; [`Lookup::wait`] waits for them.
    pub async fn answer_soon(
        &self,
        queries: &BTreeSet<RegistryQuery>,
        since: Timestamp,
        answers: &mut Answers,
    ) -> BTreeSet<RegistryQuery> {
        let mut late = BTreeSet::new();
        let mut given = self.each(queries, |query| async move { (query.clone(), self.soon(query, since).await) });
        while let Some((query, answer)) = given.next().await {
            let answer = answer.unwrap_or_else(|| {
                late.insert(query.clone());
                let host = query.image().registry();
                let message = format!(
                    "the registry {host} has not answered yet (after {} s); its images are looked at again as soon as it \
                     does, the others go on",
                    PATIENCE.as_secs()
                );
                self.asker.late(&query, message)
            });
            put(answers, query, answer);
        }
        late
    }

    /// Waits until asker that were late have been answered or have failed for good.
    pub async fn wait(&self, late: &BTreeSet<RegistryQuery>) {
        let asked: Vec<_> = {
            let cells = self.cells();
            late.iter().filter_map(|query| Some((query, cells.get(query)?.clone()))).collect()
        };
        drop(futures::future::join_all(asked.into_iter().map(|(query, cell)| self.given(query, cell))).await);
    }

    /// Ends a cycle: old answers are forgotten, and what was learned is written to the cache.
    pub fn flush(&self) {
        let now = self.asker.now();
        self.cells().retain(|_, cell| cell.runs() || now.duration_since(cell.asked).abs() < KEEP);
        self.asker.flush();
    }

    /// Starts every question before the first is waited for; the client bounds what is under way per registry.
    fn each<'a, F: Future<Output = T> + 'a, T>(
        &'a self,
        queries: &'a BTreeSet<RegistryQuery>,
        one: impl Fn(&'a RegistryQuery) -> F,
    ) -> FuturesUnordered<F> {
        queries.iter().map(one).collect()
    }

    /// The answer, or `None` once its registry has been silent for too long.
    async fn soon(&self, query: &RegistryQuery, since: Timestamp) -> Option<RegistryAnswer> {
        let cell = self.cell(query, since);
        let end = cell.began + LIMIT;
        loop {
            let heard =
                self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(query.image().registry()).copied();
            let until = (heard.map_or(cell.began, |heard| heard.max(cell.began)) + PATIENCE).min(end);
            match tokio::time::timeout_at(until, self.given(query, cell.clone())).await {
                Ok(answer) => return Some(answer),
                Err(_) if self.heard_since(query.image().registry(), until - PATIENCE) && until < end => {}
                Err(_) => return None,
            }
        }
    }

    fn heard_since(&self, host: &str, time: Instant) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(host).is_some_and(|heard| *heard > time)
    }

    fn cell(&self, query: &RegistryQuery, since: Timestamp) -> Cell {
        let mut cells = self.cells();
        let now = self.asker.now();
        // An answer from the time to come is from a clock that was wrong. One that is still under way will be given after
        // `since`, whenever it was asked for.
        let good = |cell: &&Cell| cell.runs() || (cell.asked >= since && cell.asked <= now);
        if let Some(cell) = cells.get(query).filter(good) {
            return cell.clone();
        }
        let cell = Cell { asked: now, began: Instant::now(), answer: self.start(query) };
        cells.insert(query.clone(), cell.clone());
        cell
    }

    /// Asks in a task of its own, so that the question outlives a cycle that does not wait for it.
    fn start(&self, query: &RegistryQuery) -> watch::Receiver<Option<RegistryAnswer>> {
        let (asker, heard, query) = (Arc::clone(&self.asker), Arc::clone(&self.heard), query.clone());
        let (tell, told) = watch::channel(None);
        drop(tokio::spawn(async move {
            let answer = asker.ask(&query).await;
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.insert(query.image().registry().to_owned(), Instant::now());
            drop(heard);
            tell.send_replace(Some(answer));
        }));
        told
    }

    /// What was answered, once it is.
    async fn given(&self, query: &RegistryQuery, mut cell: Cell) -> RegistryAnswer {
        if let Ok(answer) = cell.answer.wait_for(Option::is_some).await
            && let Some(answer) = &*answer
        {
            return answer.clone();
        }
        self.asker.late(query, format!("the question to the registry {} broke off", query.image().registry()))
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<RegistryQuery, Cell>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cell {
    /// Whether the answer is still to come.
    fn runs(&self) -> bool {
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }
}

fn put(answers: &mut Answers, query: RegistryQuery, answer: RegistryAnswer) {
    match (query, answer) {
        (RegistryQuery::Listing(name), RegistryAnswer::Listing(answer)) => drop(answers.listings.insert(name, answer)),
        (RegistryQuery::Digest(name, tag), RegistryAnswer::Digest(answer)) => {
            drop(answers.digests.insert((name, tag), answer));
        }
        (RegistryQuery::Manifest(name, tag), RegistryAnswer::Manifest(answer)) => {
            drop(answers.manifests.insert((name, tag), answer));
        }
        (RegistryQuery::Created(name, tag), RegistryAnswer::Created(answer)) => {
            drop(answers.created.insert((name, tag), answer));
        }
        _ => {}
    }
}
