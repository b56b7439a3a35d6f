//! Pending queries, who waits for them, and for how long.
//!
//! Promise (G6): once all other queries of a cycle are answered, stragglers are waited for as long again as the others
//! took, but at least [`LEAST`]. A registry that was silent is not waited for again until it answers; neither is a
//! single query that a registry leaves open while it answers others.
//!
//! Design: each query has a cell, and a task that makes the request, so that a query outlives the cycle that does not
//! wait for it. The first caller starts the task; the others wait for the same cell. An answer is valid for every cycle
//! that started before it arrived; a later cycle replaces the cell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::ImageName;
use crate::plan::RegistryQuery;

use super::ask::RegistryAnswer;

/// How long a cycle waits if nothing is answered at all.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The minimum wait for pending queries when all others are answered.
pub(super) const LEAST: Duration = Duration::from_millis(250);

/// A registry that has answered within this time before a cycle's query is not silent, whatever it leaves open: a plan
/// makes its queries in rounds.
const RECENT: Duration = Duration::from_secs(5);

/// How long an answer that nobody queries again stays in memory.
const KEEP: SignedDuration = SignedDuration::from_hours(1);

/// Maximum number of silent registries, and of open queries, that are remembered.
const MOST: usize = 1000;

/// Every query that was made.
#[derive(Debug, Default)]
pub(super) struct Board {
    cells: Mutex<HashMap<RegistryQuery, Cell>>,
    /// Images about which answers must be newer than this, whatever the cycle accepts.
    renewed: Mutex<HashMap<ImageName, Timestamp>>,
    silence: Arc<Mutex<Silence>>,
}

/// A query that was made.
#[derive(Debug, Clone)]
struct Cell {
    asked: Timestamp,
    answer: watch::Receiver<Option<Given>>,
}

/// An answer, and how long it took.
#[derive(Debug, Clone)]
struct Given {
    answer: RegistryAnswer,
    took: Duration,
}

/// Who was silent when a cycle could wait no longer, and since when.
#[derive(Debug, Default)]
struct Silence {
    /// Registries that did not respond at all.
    hosts: BTreeMap<String, Timestamp>,
    /// Queries left open by a registry that answered others.
    queries: HashMap<RegistryQuery, Timestamp>,
    /// When each registry last answered.
    heard: HashMap<String, Instant>,
    /// Whether the hosts have changed since they were last returned.
    changed: bool,
}

/// A query that is no longer waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) query: RegistryQuery,
    /// Since when it has been open.
    pub(super) since: Timestamp,
    pub(super) silent: Silent,
}

/// Who is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silent {
    /// The registry.
    Registry,
    /// The registry, for this one query.
    Question,
}

impl Board {
    /// A board that knows who was silent before.
    pub(super) fn new(hosts: BTreeMap<String, Timestamp>) -> Self {
        let silence = Silence { hosts, ..Silence::default() };
        Self { cells: Mutex::default(), renewed: Mutex::default(), silence: Arc::new(Mutex::new(silence)) }
    }

    /// The silent registries, if they have changed since the last call.
    pub(super) fn silent_hosts(&self) -> Option<BTreeMap<String, Timestamp>> {
        let mut silence = self.silence();
        std::mem::take(&mut silence.changed).then(|| silence.hosts.clone())
    }

    /// Starts a query, unless there is an answer that was requested since `since`, or one is pending.
    pub(super) fn ask(
        &self,
        query: &RegistryQuery,
        (since, now): (Timestamp, Timestamp),
        ask: impl Future<Output = RegistryAnswer> + Send + 'static,
    ) {
        // A clock that was set back since must not have the registry asked again and again.
        let renewed = self.renewed().get(query.image()).map(|at| (*at).min(now));
        let mut cells = self.cells();
        // An answer from the future was dated by a wrong clock. A pending one will arrive after `since`, whenever it
        // was requested; but what it will say may be older than a push that was heard of meanwhile.
        let good = |cell: &Cell| {
            renewed.is_none_or(|at| cell.asked >= at) && (cell.runs() || (cell.asked >= since && cell.asked <= now))
        };
        if !cells.get(query).is_some_and(good) {
            cells.insert(query.clone(), Cell { asked: now, answer: self.start(query, ask) });
        }
    }

    /// The answer to a query that was made; `None` if its task panicked.
    pub(super) async fn answer(&self, query: &RegistryQuery) -> Option<RegistryAnswer> {
        let cell = self.cells().get(query).cloned()?;
        cell.given().await.map(|given| given.answer)
    }

    /// The answers that are waited for, and the queries that stay open.
    pub(super) async fn gather(
        &self,
        queries: &BTreeSet<RegistryQuery>,
        now: Timestamp,
    ) -> (Vec<(RegistryQuery, Option<RegistryAnswer>)>, Vec<Open>) {
        let began = Instant::now();
        let mut given: FuturesUnordered<_> = {
            let cells = self.cells();
            let asked = queries.iter().filter_map(|query| Some((query, cells.get(query)?.clone())));
            asked.map(|(query, cell)| async move { (query, cell.given().await) }).collect()
        };
        let mut open: BTreeSet<&RegistryQuery> = queries.iter().collect();
        let mut answers = Vec::new();
        let mut wait = Wait::begin(began);
        while self.silence().waits_for(&open) {
            let Ok(Some((query, given))) = tokio::time::timeout_at(wait.until, given.next()).await else { break };
            open.remove(query);
            wait.answered(Instant::now(), given.as_ref().map_or(Duration::ZERO, |given| given.took));
            answers.push((query.clone(), given.map(|given| given.answer)));
        }
        // Answers that nobody waits for may have arrived in the meantime.
        while let Some(Some((query, given))) = given.next().now_or_never() {
            open.remove(query);
            answers.push((query.clone(), given.map(|given| given.answer)));
        }
        let open = self.silence().note(&open, began, now);
        (answers, open)
    }

    /// Forgets old answers.
    pub(super) fn forget(&self, now: Timestamp) {
        self.cells().retain(|_, cell| cell.runs() || now.duration_since(cell.asked).abs() < KEEP);
        self.renewed().retain(|_, at| now.duration_since(*at).abs() < KEEP);
    }

    /// From now on answers about an image must have been requested at this time or later.
    pub(super) fn renew(&self, image: &ImageName, at: Timestamp) {
        let mut renewed = self.renewed();
        let latest = renewed.entry(image.clone()).or_insert(at);
        *latest = at.max(*latest);
    }

    /// The images that were queried recently.
    pub(super) fn images(&self) -> BTreeSet<ImageName> {
        self.cells().keys().map(|query| query.image().clone()).collect()
    }

    fn start(
        &self,
        query: &RegistryQuery,
        ask: impl Future<Output = RegistryAnswer> + Send + 'static,
    ) -> watch::Receiver<Option<Given>> {
        let (silence, query, began) = (Arc::clone(&self.silence), query.clone(), Instant::now());
        let (sender, receiver) = watch::channel(None);
        drop(tokio::spawn(async move {
            let answer = ask.await;
            if answer.is_heard() {
                silence.lock().unwrap_or_else(PoisonError::into_inner).hear(&query);
            }
            sender.send_replace(Some(Given { answer, took: began.elapsed() }));
        }));
        receiver
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<RegistryQuery, Cell>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renewed(&self) -> MutexGuard<'_, HashMap<ImageName, Timestamp>> {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a cycle waits.
#[derive(Debug, PartialEq, Eq)]
struct Wait {
    /// The longest time that an answer has taken.
    longest: Duration,
    until: Instant,
}

impl Wait {
    fn begin(now: Instant) -> Self {
        Self { longest: Duration::ZERO, until: now + PATIENCE }
    }

    /// An answer arrived that took this long; pending queries may take as long again from now.
    fn answered(&mut self, now: Instant, took: Duration) {
        self.longest = self.longest.max(took);
        self.until = now + self.longest.max(LEAST);
    }
}

impl Cell {
    /// Whether the answer is pending.
    fn runs(&self) -> bool {
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }

    async fn given(mut self) -> Option<Given> {
        self.answer.wait_for(Option::is_some).await.ok()?.clone()
    }
}

impl Silence {
    /// Whether one of these queries is not known to stay open.
    fn waits_for(&self, open: &BTreeSet<&RegistryQuery>) -> bool {
        open.iter()
            .any(|query| !self.hosts.contains_key(query.image().registry()) && !self.queries.contains_key(*query))
    }

    fn hear(&mut self, query: &RegistryQuery) {
        let host = query.image().registry();
        self.heard.insert(host.to_owned(), Instant::now());
        self.queries.remove(query);
        self.changed |= self.hosts.remove(host).is_some();
    }

    /// Records what a cycle that started at `began` no longer waits for.
    fn note(&mut self, open: &BTreeSet<&RegistryQuery>, began: Instant, now: Timestamp) -> Vec<Open> {
        if self.hosts.len() + self.queries.len() + open.len() > MOST {
            self.hosts.clear();
            self.queries.clear();
        }
        let mut noted = Vec::new();
        for query in open {
            let host = query.image().registry();
            let answers_others = self.heard.get(host).is_some_and(|heard| *heard + RECENT >= began);
            let (since, silent) = match answers_others || self.queries.contains_key(*query) {
                true => (*self.queries.entry((*query).clone()).or_insert(now), Silent::Question),
                false => {
                    self.changed |= !self.hosts.contains_key(host);
                    (*self.hosts.entry(host.to_owned()).or_insert(now), Silent::Registry)
                }
            };
            noted.push(Open { query: (*query).clone(), since, silent });
        }
        noted
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::model::{Answer, FailureCode, ImageName};

    const DARK: &str = "dark.example.com/a";

    fn query(name: &str) -> RegistryQuery {
        RegistryQuery::Listing(ImageName::parse(name).unwrap())
    }

    fn queries(names: &[&str]) -> BTreeSet<RegistryQuery> {
        names.iter().map(|name| query(name)).collect()
    }

    fn failed(code: FailureCode) -> RegistryAnswer {
        RegistryAnswer::Listing(Answer::Failed { message: "no".to_owned(), code, last: None })
    }

    fn absent() -> RegistryAnswer {
        RegistryAnswer::Listing(Answer::Absent { message: "gone".to_owned() })
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn now(at: i64) -> (Timestamp, Timestamp) {
        (second(at), second(at))
    }

    #[tokio::test]
    async fn a_renewed_image_is_asked_about_again_even_while_an_older_question_is_open() {
        let board = Board::default();
        // Whether it is asked now, by a question that is answered at once or never.
        let ask = |name: &str, at: i64, since: i64, answered: bool| {
            let known = || board.cells().get(&query(name)).map(|cell| cell.asked);
            let (before, times) = (known(), (second(since), second(at)));
            match answered {
                true => board.ask(&query(name), times, std::future::ready(absent())),
                false => board.ask(&query(name), times, std::future::pending()),
            }
            known() != before
        };
        assert!(ask("r.example/a", 10, 10, false) && ask("r.example/b", 10, 10, true));
        assert!(!ask("r.example/a", 11, 10, true) && !ask("r.example/b", 11, 10, true));
        for image in ["r.example/a", "r.example/b"] {
            board.renew(query(image).image(), second(12));
        }
        assert!(ask("r.example/a", 13, 10, true) && ask("r.example/b", 13, 10, true));
        assert!(!ask("r.example/a", 14, 10, true) && !ask("r.example/b", 14, 10, true), "once");
        assert!(board.answer(&query("r.example/b")).await.is_some());
        assert!(ask("r.example/b", 5, 5, true), "the clock was set back");
        assert!(!ask("r.example/b", 5, 5, true), "and no answer can be newer than now");
    }

    /// What stays open when these are answered at once, and those never.
    async fn cycle(board: &Board, at: i64, answered: &[&str], silent: &[&str]) -> Vec<(String, i64, Silent)> {
        for name in answered {
            board.ask(&query(name), now(at), std::future::ready(absent()));
            assert!(board.answer(&query(name)).await.is_some());
        }
        for name in silent {
            board.ask(&query(name), now(at), std::future::pending());
        }
        let asked = queries(&[answered, silent].concat());
        let (answers, open) = board.gather(&asked, second(at)).await;
        assert_eq!(answers.len() + open.len(), asked.len());
        open.into_iter().map(|open| (open.query.image().to_string(), open.since.as_second(), open.silent)).collect()
    }

    #[tokio::test]
    async fn stragglers_are_waited_for_as_long_again_as_the_others_took() {
        let begin = Instant::now();
        let after = |milliseconds| begin + Duration::from_millis(milliseconds);
        let mut wait = Wait::begin(begin);
        assert_eq!(wait.until, begin + PATIENCE, "nothing is known yet");
        // Those that took little are followed by a quarter of a second at least.
        wait.answered(after(10), Duration::from_millis(10));
        wait.answered(after(40), Duration::from_millis(40));
        assert_eq!(wait.until, after(290));
        wait.answered(after(2000), Duration::from_millis(2000));
        assert_eq!(wait.until, after(4000));
        // A registry that goes on answering is waited for.
        wait.answered(after(2100), Duration::from_millis(100));
        assert_eq!(wait.until, after(4100));
        // Answers of an earlier cycle tell how long the others took, too.
        let mut wait = Wait::begin(begin);
        wait.answered(begin, Duration::from_millis(700));
        assert_eq!(wait.until, after(700));
    }

    #[tokio::test]
    async fn a_silent_registry_is_not_waited_for_until_it_answers() {
        let board = Board::default();
        let silent = |since| vec![(DARK.to_owned(), since, Silent::Registry)];
        assert_eq!(cycle(&board, 1, &["a.example.com/a"], &[DARK]).await, silent(1));
        let hosts = board.silent_hosts().unwrap();
        assert_eq!(hosts, BTreeMap::from([("dark.example.com".to_owned(), second(1))]));
        assert_eq!(board.silent_hosts(), None, "it has not changed");
        // It is asked alone, and nobody waits: the test would take the whole patience.
        let began = Instant::now();
        assert_eq!(cycle(&board, 2, &[], &[DARK]).await, silent(1));
        // The next process knows, too.
        let board = Board::new(hosts);
        assert_eq!(cycle(&board, 3, &[], &[DARK]).await, silent(1));
        assert!(began.elapsed() < PATIENCE);
        // Once it answers anything, it is forgotten.
        assert_eq!(cycle(&board, 4, &["dark.example.com/b"], &[]).await, []);
        assert_eq!(board.silent_hosts(), Some(BTreeMap::new()));
        assert!(board.silence().waits_for(&BTreeSet::from([&query(DARK)])));
    }

    #[tokio::test]
    async fn a_question_that_hangs_is_not_the_registrys_silence() {
        let (board, hangs) = (Board::default(), "a.example.com/hangs");
        board.ask(&query("a.example.com/a"), now(1), async {
            tokio::task::yield_now().await;
            absent()
        });
        board.ask(&query(hangs), now(1), std::future::pending());
        let both = queries(&["a.example.com/a", hangs]);
        let (answers, open) = board.gather(&both, second(1)).await;
        assert_eq!((answers.len(), open[0].silent), (1, Silent::Question));
        assert_eq!(board.silent_hosts(), None, "the registry is not silent");
        assert_eq!(cycle(&board, 2, &[], &[hangs]).await, [(hangs.to_owned(), 1, Silent::Question)]);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_taken_where_it_has_come() {
        let board = Board::new(BTreeMap::from([("dark.example.com".to_owned(), second(1))]));
        board.ask(&query(DARK), now(2), std::future::ready(failed(FailureCode::Network)));
        assert!(board.answer(&query(DARK)).await.is_some());
        let (answers, open) = board.gather(&queries(&[DARK]), second(2)).await;
        assert_eq!((answers.len(), open), (1, Vec::new()));
    }

    #[tokio::test]
    async fn a_failure_of_the_network_is_no_answer() {
        let board = Board::new(BTreeMap::from([("dark.example.com".to_owned(), second(1))]));
        for (at, code, heard) in
            [(2, FailureCode::Network, None), (3, FailureCode::Authentication, Some(BTreeMap::new()))]
        {
            board.ask(&query(DARK), now(at), std::future::ready(failed(code)));
            assert!(board.answer(&query(DARK)).await.is_some());
            assert_eq!(board.silent_hosts(), heard, "{code:?}");
        }
    }

    #[tokio::test]
    async fn one_question_is_asked_once_at_a_time_and_outlives_who_asked() {
        let board = Arc::new(Board::default());
        let asked = Arc::new(AtomicUsize::new(0));
        let listing = query("a.example.com/a");
        let (sender, receiver) = watch::channel(0);
        let ask = |since| {
            let (asked, mut receiver) = (Arc::clone(&asked), receiver.clone());
            board.ask(&listing, now(since), async move {
                let number = asked.fetch_add(1, Ordering::SeqCst);
                drop(receiver.wait_for(|released| *released > number).await);
                absent()
            });
        };
        ask(1);
        let waits = tokio::spawn({
            let (board, listing) = (Arc::clone(&board), listing.clone());
            async move { board.answer(&listing).await.is_some() }
        });
        tokio::task::yield_now().await;
        waits.abort();
        assert!(waits.await.unwrap_err().is_cancelled());
        // It is still under way, so a later cycle waits for the same answer, and one that began before takes it.
        ask(2);
        sender.send_replace(1);
        assert!(board.answer(&listing).await.is_some());
        ask(1);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        sender.send_replace(2);
        ask(3);
        assert!(board.answer(&listing).await.is_some());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_task_that_breaks_off_is_no_answer_and_is_asked_again() {
        let board = Board::default();
        let listing = query("a.example.com/a");
        let (sender, receiver) = tokio::sync::oneshot::channel();
        board.ask(&listing, now(1), async { receiver.await.expect("a fault of the client") });
        drop(sender);
        assert!(board.answer(&listing).await.is_none());
        board.ask(&listing, now(2), std::future::ready(absent()));
        assert!(board.answer(&listing).await.is_some());
    }

    #[tokio::test]
    async fn old_answers_are_forgotten() {
        let board = Board::default();
        cycle(&board, 1, &["a.example.com/a"], &[]).await;
        board.forget(second(1) + KEEP - SignedDuration::from_secs(1));
        assert!(board.answer(&query("a.example.com/a")).await.is_some());
        board.forget(second(1) + KEEP);
        assert!(board.answer(&query("a.example.com/a")).await.is_none());
    }
}
