//! Answers about registries: asked once however many overlays, branches and repositories want them.
//!
//! Promise: within one cycle a repository of a registry is listed once; a slow registry delays nobody who does not ask it,
//! and a silent one delays those who ask others too by [`PATIENCE`] at most (G6).
//!
//! Design: each question has a cell, and a task that asks. Who comes first starts the task; the others wait for the same
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

use crate::plan::{Facts, Want};
use crate::registry::RegistryClient;
use crate::store::Store;

use super::clock::Clock;
use super::questions::{Answer, Questions};

/// How long a registry may answer nothing at all before a cycle goes on without it.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a cycle waits for one question whose registry answers others meanwhile.
const LIMIT: Duration = Duration::from_secs(60);

/// How long an answer that nobody asks for again stays in memory.
const KEEP: SignedDuration = SignedDuration::from_hours(1);

/// The door to every registry, with memory.
#[derive(Debug)]
pub struct Lookup {
    questions: Arc<Questions>,
    cells: Mutex<HashMap<Want, Cell>>,
    /// When each registry last answered anything, for better or worse.
    heard: Arc<Mutex<HashMap<String, Instant>>>,
}

/// A question that was asked.
#[derive(Debug, Clone)]
struct Cell {
    asked: Timestamp,
    began: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

impl Lookup {
    /// A door over this client and cache.
    #[must_use]
    pub fn new(client: RegistryClient, store: Store, clock: Clock) -> Self {
        Self {
            questions: Arc::new(Questions::new(client, Arc::new(store), clock)),
            cells: Mutex::default(),
            heard: Arc::default(),
        }
    }

    /// The cache.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        self.questions.store()
    }

    /// HTTP requests sent so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.questions.requests()
    }

    /// Answers every registry question in `wants` into `facts`, however long it takes; answers older than `since` are
    /// asked for again.
    pub async fn answer(&self, wants: &BTreeSet<Want>, since: Timestamp, facts: &mut Facts) {
        let mut answers =
            self.each(wants, |want| async move { (want.clone(), self.given(want, self.cell(want, since)).await) });
        while let Some((want, answer)) = answers.next().await {
            put(facts, want, answer);
        }
    }

    /// The same, but silent registries are not waited for: their questions are answered as failed, with the last good
    /// listing where there is one, and returned. They go on by themselves; [`Lookup::wait`] waits for them.
    pub async fn answer_soon(&self, wants: &BTreeSet<Want>, since: Timestamp, facts: &mut Facts) -> BTreeSet<Want> {
        let mut late = BTreeSet::new();
        let mut answers = self.each(wants, |want| async move { (want.clone(), self.soon(want, since).await) });
        while let Some((want, answer)) = answers.next().await {
            let answer = answer.unwrap_or_else(|| {
                late.insert(want.clone());
                let host = host(&want);
                let message = format!(
                    "the registry {host} has not answered yet (after {} s); its images are looked at again as soon as it \
                     does, the others go on",
                    PATIENCE.as_secs()
                );
                self.questions.late(&want, message)
            });
            put(facts, want, answer);
        }
        late
    }

    /// Waits until questions that were late have been answered or have failed for good.
    pub async fn wait(&self, late: &BTreeSet<Want>) {
        let asked: Vec<_> = {
            let cells = self.cells();
            late.iter().filter_map(|want| Some((want, cells.get(want)?.clone()))).collect()
        };
        drop(futures::future::join_all(asked.into_iter().map(|(want, cell)| self.given(want, cell))).await);
    }

    /// Ends a cycle: old answers are forgotten, and what was learned is written to the cache.
    pub fn flush(&self) {
        let now = self.questions.now();
        self.cells().retain(|_, cell| cell.runs() || now.duration_since(cell.asked).abs() < KEEP);
        self.questions.flush();
    }

    /// Starts every question before the first is waited for; the client bounds what is under way per registry.
    fn each<'a, F: Future<Output = T> + 'a, T>(
        &'a self,
        wants: &'a BTreeSet<Want>,
        one: impl Fn(&'a Want) -> F,
    ) -> FuturesUnordered<F> {
        wants.iter().filter(|want| !want.is_of_others()).map(one).collect()
    }

    /// The answer, or `None` once its registry has been silent for too long.
    async fn soon(&self, want: &Want, since: Timestamp) -> Option<Answer> {
        let cell = self.cell(want, since);
        let end = cell.began + LIMIT;
        loop {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(host(want)).copied();
            let until = (heard.map_or(cell.began, |heard| heard.max(cell.began)) + PATIENCE).min(end);
            match tokio::time::timeout_at(until, self.given(want, cell.clone())).await {
                Ok(answer) => return Some(answer),
                Err(_) if self.heard_since(host(want), until - PATIENCE) && until < end => {}
                Err(_) => return None,
            }
        }
    }

    fn heard_since(&self, host: &str, time: Instant) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(host).is_some_and(|heard| *heard > time)
    }

    fn cell(&self, want: &Want, since: Timestamp) -> Cell {
        let mut cells = self.cells();
        let now = self.questions.now();
        // An answer from the time to come is from a clock that was wrong. One that is still under way will be given after
        // `since`, whenever it was asked for.
        let good = |cell: &&Cell| cell.runs() || (cell.asked >= since && cell.asked <= now);
        if let Some(cell) = cells.get(want).filter(good) {
            return cell.clone();
        }
        let cell = Cell { asked: now, began: Instant::now(), answer: self.start(want) };
        cells.insert(want.clone(), cell.clone());
        cell
    }

    /// Asks in a task of its own, so that the question outlives a cycle that does not wait for it.
    fn start(&self, want: &Want) -> watch::Receiver<Option<Answer>> {
        let (questions, heard, want) = (Arc::clone(&self.questions), Arc::clone(&self.heard), want.clone());
        let (tell, told) = watch::channel(None);
        drop(tokio::spawn(async move {
            let answer = questions.ask(&want).await;
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.insert(host(&want).to_owned(), Instant::now());
            drop(heard);
            tell.send_replace(Some(answer));
        }));
        told
    }

    /// What was answered, once it is.
    async fn given(&self, want: &Want, mut cell: Cell) -> Answer {
        if let Ok(answer) = cell.answer.wait_for(Option::is_some).await
            && let Some(answer) = &*answer
        {
            return answer.clone();
        }
        self.questions.late(want, format!("the question to the registry {} broke off", host(want)))
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<Want, Cell>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cell {
    /// Whether the answer is still to come.
    fn runs(&self) -> bool {
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }
}

/// The registry that a question goes to.
fn host(want: &Want) -> &str {
    match want {
        Want::Listing(name) | Want::Digest(name, _) | Want::Manifest(name, _) | Want::Created(name, _) => {
            name.registry()
        }
        Want::Pulls(_) | Want::Open | Want::Reviews(_) | Want::Checks(_) | Want::Reminded(_) | Want::Origin(_) => "",
    }
}

fn put(facts: &mut Facts, want: Want, answer: Answer) {
    match (want, answer) {
        (Want::Listing(name), Answer::Listing(fact)) => drop(facts.listings.insert(name, fact)),
        (Want::Digest(name, tag), Answer::Digest(fact)) => drop(facts.digests.insert((name, tag), fact)),
        (Want::Manifest(name, tag), Answer::Manifest(fact)) => drop(facts.manifests.insert((name, tag), fact)),
        (Want::Created(name, tag), Answer::Created(fact)) => drop(facts.created.insert((name, tag), fact)),
        _ => {}
    }
}
