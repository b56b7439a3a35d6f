//! The loop: each repository in a task of its own, so that a failing or slow one never delays a healthy one (G6).
//!
//! Design: the functions that read Git objects, scan files and make plans block. So a cycle runs on a thread of its
//! own, where that is allowed, and then returns its repository; a repository that waits for its next cycle has no
//! thread.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Trigger;
use crate::model::FailureCode;
use crate::plan::{Declared, Problem, SoakStates};

use super::clock::Clock;
use super::outcome::CycleOutcome;
use super::queries::Lookup;
use super::replicas::{Busy, Holding, Replicas, Sharing};
use super::report::Reports;
use super::repository::{Repository, RepositoryError, Timing};
use super::tracker::{Tracker, View};
use super::vitals::{LONG_CYCLE, Vitals};
use super::wake::{Waker, Woken};

/// The first pause after a lost race (the same as in Kargo).
const PAUSE: Duration = Duration::from_millis(500);

/// How long a cycle may go on after it was told to stop: whoever stops a bot waits at most ten seconds, even if a
/// remote hangs.
const GRACE: Duration = Duration::from_secs(6);

/// How long aborted work may then take to stop. Work that computes without a pause does not stop; it ends with the
/// process.
const LETTING_GO: Duration = Duration::from_secs(1);

/// Maximum number of concurrent cycles; each has a thread, and the runtime has 512 of them.
const AT_ONCE: usize = 256;

/// The longest pause after cycles that panicked.
const LONGEST: Duration = Duration::from_mins(10);

/// A clock that deviates from elapsed time by more than this was set.
const STEP: SignedDuration = SignedDuration::from_secs(30);

/// The minimum time between checks of whether the repository moved, while waiting; each is one `ls-remote`.
const WATCH: Duration = Duration::from_secs(15);

/// The minimum pause between two cycles triggered by gates or clusters.
const SHORTEST: Duration = Duration::from_secs(1);

/// Maximum number of such checks between two cycles.
const LOOKS: u32 = 4;

/// Called with each outcome.
pub type OnOutcome = Arc<dyn Fn(&CycleOutcome) + Send + Sync>;

/// The bot: the repositories, and the one client of all registries.
#[derive(Debug)]
pub struct Bot {
    /// The repositories, in the order of the configuration.
    pub repositories: Vec<Repository>,
    lookup: Arc<Lookup>,
    clock: Clock,
    waker: Arc<Waker>,
    vitals: Arc<Vitals>,
    reports: Arc<Reports>,
    /// The other replicas; `None`: there is one, which works for all repositories.
    sharing: Option<Sharing>,
    /// Until when a plan or cycle waits for silent registries.
    deadline: Option<Instant>,
}

impl Bot {
    /// A bot for repositories that have not been read yet.
    #[must_use]
    pub fn new(repositories: Vec<Repository>, lookup: Lookup, clock: Clock) -> Self {
        let lookup = Arc::new(lookup);
        let waker = Arc::new(waker(&repositories, &lookup, Duration::ZERO));
        let vitals = Arc::new(Vitals::new(repositories.iter().map(Repository::name), Instant::now()));
        let reports = Arc::new(Reports::new());
        Self { repositories, lookup, clock, waker, vitals, reports, sharing: None, deadline: None }
    }

    /// The same as one of several replicas: it writes for a repository only while it holds its Lease.
    #[must_use]
    pub fn sharing(self, sharing: Sharing) -> Self {
        let fence = sharing.replicas.fence();
        self.repositories.iter().for_each(|repository| repository.fenced(&fence));
        Self { sharing: Some(sharing), ..self }
    }

    /// This replica, if there are several.
    #[must_use]
    pub fn replicas(&self) -> Option<&Arc<Replicas>> {
        self.sharing.as_ref().map(|sharing| &sharing.replicas)
    }

    /// The same, where hints from outside are gathered for this long.
    #[must_use]
    pub fn gathering_hints(self, debounce: Duration) -> Self {
        let waker = Arc::new(waker(&self.repositories, &self.lookup, debounce));
        Self { waker, ..self }
    }

    /// What hints from outside are given to.
    #[must_use]
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// How the cycles go.
    #[must_use]
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// What the last cycle of each repository found.
    #[must_use]
    pub fn reports(&self) -> &Arc<Reports> {
        &self.reports
    }

    /// The same, where [`Bot::plan`] and [`Bot::apply`] wait for silent registries until this time; whatever is unknown
    /// by then is a problem in their reports.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// The client of all registries.
    #[must_use]
    pub fn lookup(&self) -> &Arc<Lookup> {
        &self.lookup
    }

    /// HTTP requests sent to registries so far.
    #[must_use]
    pub fn registry_requests(&self) -> u64 {
        self.lookup.requests()
    }

    /// What would be done now; nothing is written. With `diff`, each action includes the diff of its files.
    pub async fn plan(&mut self, diff: bool) -> Vec<CycleOutcome> {
        let (lookup, clock, deadline) = (Arc::clone(&self.lookup), self.clock.clone(), self.deadline);
        let outcomes = self.each(async move |repository: &mut Repository| {
            let now = clock.now();
            match repository.refresh().await {
                Ok(()) => {
                    let mut planned = repository.plan(&lookup, now, now).await;
                    if !repository.late().is_empty() {
                        lookup.wait(repository.late(), deadline).await;
                        planned = repository.plan(&lookup, now, now).await;
                    }
                    repository.preview(&planned, diff, now)
                }
                Err(error) => unreadable(repository.name(), &error),
            }
        });
        let outcomes = outcomes.await.into_iter().map(|outcome| outcome.unwrap_or_else(Broken::outcome)).collect();
        self.lookup.flush();
        outcomes
    }

    /// Whether a policy of any repository needs proof from another environment, as of the last plan.
    #[must_use]
    pub fn promotes(&self) -> bool {
        self.repositories.iter().any(Repository::promotes)
    }

    /// Reads the clusters before planning anything that needs proof from them. A repository that cannot be read keeps
    /// its state; the next operation reports it.
    pub async fn prove(&mut self, tracker: &Arc<Tracker>, patience: Duration) {
        let clock = self.clock.clone();
        let views = self.each(async move |repository: &mut Repository| {
            if let Err(error) = repository.refresh().await {
                tracing::debug!(repository = repository.name(), %error, "it cannot be read");
            }
            let mut outcome = CycleOutcome::new(repository.name());
            outcome.revision = repository.reader().tip();
            outcome.add_blocking(repository.reader().main_policies().1);
            repository.view(outcome, clock.now())
        });
        views.await.into_iter().flatten().for_each(|view| tracker.publish(view));
        tracker.listed(patience).await;
        let _looked = tracker.look().await.is_some();
        let soak_states = tracker.soak_states().borrow().clone();
        for repository in &mut self.repositories {
            repository.set_soak_states(Arc::clone(&soak_states));
        }
        tracker.keep().await;
    }

    /// Tells the tracker the state of every repository; nothing is written.
    pub async fn view(&mut self, tracker: &Tracker) {
        let began = Instant::now();
        let outcomes = self.plan(false).await;
        for (repository, outcome) in self.repositories.iter_mut().zip(outcomes) {
            self.vitals.ended(&outcome, began.elapsed(), (Instant::now(), self.clock.now()));
            let view = repository.view(outcome, self.clock.now());
            self.reports.publish(repository.report(&view));
            tracker.publish(view);
        }
    }

    /// One cycle of every repository. If a registry was silent, everything else is written first, and a second cycle
    /// follows once the registry has answered or is given up.
    pub async fn apply(&mut self) -> Vec<CycleOutcome> {
        let (lookup, clock, deadline) = (Arc::clone(&self.lookup), self.clock.clone(), self.deadline);
        let outcomes = self.each(async move |repository: &mut Repository| {
            let now = clock.now();
            let outcome = cycle(repository, &lookup, now, now).await;
            if repository.late().is_empty() {
                return outcome;
            }
            let again = async {
                lookup.wait(repository.late(), deadline).await;
                cycle(repository, &lookup, now, clock.now()).await
            };
            followed(outcome, again).await
        });
        let outcomes = outcomes.await.into_iter().map(|outcome| outcome.unwrap_or_else(Broken::outcome)).collect();
        self.lookup.flush();
        outcomes
    }

    /// Another cycle, now that the clusters have been read; the results of the first one remain in the outcomes.
    pub async fn apply_again(&mut self, before: Vec<CycleOutcome>) -> Vec<CycleOutcome> {
        let outcomes = self.apply().await;
        outcomes.into_iter().zip(before).map(|(outcome, before)| outcome.with_done_of(before)).collect()
    }

    /// Runs this for every repository at once, each on its own thread; returns the results in the repositories' order.
    async fn each<T: Send + 'static>(
        &mut self,
        work: impl AsyncFn(&mut Repository) -> T + Clone + Send + 'static,
    ) -> Vec<Result<T, Broken>> {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let started = std::mem::take(&mut self.repositories).into_iter().map(|mut repository| {
            let (work, turns, runtime) = (work.clone(), Arc::clone(&turns), Handle::current());
            async move {
                let _turn = turns.acquire_owned().await;
                let name = repository.name().to_owned();
                let broken = Broken { name: name.clone(), said: "its thread has ended".to_owned() };
                let done = spawn_blocking(move || {
                    let done = unbroken(&name, || runtime.block_on(work(&mut repository)));
                    (repository, done)
                });
                done.await.map_err(|_| broken)
            }
        });
        let mut results = Vec::new();
        for ended in futures::future::join_all(started).await {
            results.push(ended.and_then(|(repository, done)| {
                self.repositories.push(repository);
                done
            }));
        }
        results
    }

    /// Runs cycles until `stop`: at every trigger, and in between whenever a repository moves. Each outcome goes to
    /// `on_outcome`. A running cycle is finished first, for at most some seconds. A cycle that panics is a bug in the
    /// bot: it is reported like a repository that cannot be read, is retried after a growing pause, and does not affect
    /// other repositories.
    pub async fn run(self, trigger: &Trigger, stop: &CancellationToken, tracker: Arc<Tracker>, on_outcome: OnOutcome) {
        let tracking = tokio::spawn(Arc::clone(&tracker).run(stop.clone()));
        let Self { repositories, lookup, clock, waker, vitals, reports, sharing, deadline: _ } = self;
        let replicas = sharing.as_ref().map(|sharing| Arc::clone(&sharing.replicas));
        // It goes on until all work has ended: what is still written is written under the Lease.
        let worked = CancellationToken::new();
        let electing = sharing
            .map(|Sharing { replicas, leases }| tokio::spawn(replicas.run(leases, clock.clone(), worked.clone())));
        let (trigger, stop, turns) = (trigger.clone(), stop.clone(), Semaphore::new(AT_ONCE));
        let waking = (Arc::clone(&waker), stop.clone());
        let waking = tokio::spawn(async move { waking.0.run(&waking.1).await });
        let shared = Arc::new(Shared {
            lookup,
            clock,
            trigger,
            stop,
            tracker,
            on_outcome,
            turns,
            waker,
            vitals,
            reports,
            replicas,
        });
        let mut tasks = JoinSet::new();
        for repository in repositories {
            tasks.spawn(RepositoryTask::new(repository, Arc::clone(&shared)).run());
        }
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of a repository failed because of a bug in the bot");
                }
            }
            if let Err(error) = tracking.await {
                tracing::error!(%error, "the tracker failed because of a bug in the bot");
            }
            if let Err(error) = waking.await {
                tracing::error!(%error, "webhooks stopped working because of a bug in the bot");
            }
        };
        tokio::select! {
            () = all => {}
            // Anything aborted here is as good as a crash: the next start finds out what was done.
            () = overdue(&shared.stop, GRACE + LETTING_GO) => tracing::warn!("some work did not end in time and was aborted"),
        }
        worked.cancel();
        if let Some(electing) = electing
            && let Err(error) = electing.await
        {
            tracing::error!(%error, "the Leases could not be released because of a bug in the bot; other replicas take them once they have lapsed");
        }
    }
}

/// Waits for a cycle. One that takes long is told of once, and so is its end.
async fn told_if_long<T>(name: &str, cycle: impl Future<Output = T>) -> T {
    let (began, mut cycle) = (Instant::now(), std::pin::pin!(cycle));
    if let Ok(done) = tokio::time::timeout(LONG_CYCLE, cycle.as_mut()).await {
        return done;
    }
    tracing::warn!(
        repository = name,
        "its cycle has taken longer than {} s and goes on: reading its files and branches, or waiting for what it asks; other \
         repositories go on, too",
        LONG_CYCLE.as_secs()
    );
    let done = cycle.await;
    tracing::warn!(repository = name, "its long cycle has ended after {} s", began.elapsed().as_secs());
    done
}

/// The state shared by the tasks of all repositories.
struct Shared {
    lookup: Arc<Lookup>,
    clock: Clock,
    trigger: Trigger,
    stop: CancellationToken,
    tracker: Arc<Tracker>,
    on_outcome: OnOutcome,
    turns: Semaphore,
    waker: Arc<Waker>,
    vitals: Arc<Vitals>,
    reports: Arc<Reports>,
    replicas: Option<Arc<Replicas>>,
}

/// What a task does at its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// A cycle.
    Cycle,
    /// Only reading: another replica works for it.
    Look,
}

/// The task of one repository.
struct RepositoryTask {
    repository: Repository,
    shared: Arc<Shared>,
    soak_states: Receiver<Arc<SoakStates>>,
    /// Somebody outside hinted at news.
    woken: Receiver<Woken>,
    /// What the branches declared when the waker was last told.
    declared: Vec<Arc<Vec<Declared>>>,
    rest: Rest,
    /// The term of its Lease in which this replica works for it.
    term: Option<u32>,
    /// How often other replicas had passed on a hint at the last turn.
    passed_on: u64,
}

impl RepositoryTask {
    fn new(mut repository: Repository, shared: Arc<Shared>) -> Self {
        repository.gather();
        let unread = repository.view(CycleOutcome::new(repository.name()), shared.clock.now());
        match shared.replicas {
            None => shared.tracker.expect(unread),
            Some(_) => shared.tracker.look_at(unread),
        }
        let (soak_states, woken) = (shared.tracker.soak_states(), shared.waker.signal(repository.name()));
        let (declared, rest) = (Vec::new(), Rest::default());
        Self { repository, soak_states, woken, declared, shared, rest, term: None, passed_on: 0 }
    }

    async fn run(mut self) {
        while !self.shared.stop.is_cancelled() {
            let since = self.shared.clock.now();
            let due = Due::after(&self.shared.trigger, (Instant::now(), since));
            match self.cycle(since).await {
                Some(task) => self = task,
                None => return,
            }
            match self.wait(since, due).await {
                Some(task) => self = task,
                None => return,
            }
        }
    }

    /// What to do now; a repository that replicas share is kept until the cycle has ended. The tracker hears when this replica begins or ends to work for the repository.
    fn turn(&mut self) -> (Turn, Option<Busy>) {
        let Some(replicas) = &self.shared.replicas else { return (Turn::Cycle, None) };
        let (name, tracker) = (self.repository.name(), &self.shared.tracker);
        self.passed_on = replicas.woken(name);
        match replicas.holding(name) {
            Holding::Held { term } => {
                if self.term != Some(term) {
                    tracker.adopt(name, replicas.adopt(name, term));
                    self.term = Some(term);
                }
                replicas.begin(name).map_or((Turn::Look, None), |busy| (Turn::Cycle, Some(busy)))
            }
            Holding::Lapsed => (Turn::Look, None),
            Holding::Elsewhere => {
                if self.term.take().is_some() {
                    tracker.leave(name);
                }
                (Turn::Look, None)
            }
        }
    }

    /// Whether another replica works for it, or may do so by now.
    fn is_elsewhere(&self) -> bool {
        let held = |replicas: &Arc<Replicas>| matches!(replicas.holding(self.repository.name()), Holding::Held { .. });
        self.shared.replicas.as_ref().is_some_and(|replicas| !held(replicas))
    }

    /// One cycle, on its own thread; `None` if it was aborted because the bot is stopping. Registry answers older than
    /// `since` are requested again. Where another replica works for the repository, it is only read.
    async fn cycle(mut self, since: Timestamp) -> Option<Self> {
        if self.rest.left().is_some() {
            return Some(self);
        }
        let shared = Arc::clone(&self.shared);
        let _turn = shared.turns.acquire().await;
        let (runtime, name) = (Handle::current(), self.repository.name().to_owned());
        shared.vitals.began(&name, Instant::now());
        let (turn, busy) = self.turn();
        let done = spawn_blocking(move || {
            let ended = self.cycle_here(&runtime, since, turn);
            drop(busy);
            ended.then_some(self)
        });
        match told_if_long(&name, done).await {
            Ok(task) => task,
            Err(error) => {
                tracing::error!(repository = name, %error, "its task ended because of a bug in the bot");
                None
            }
        }
    }

    /// One cycle, on this thread; false if it was aborted because the bot is stopping.
    fn cycle_here(&mut self, runtime: &Handle, since: Timestamp, turn: Turn) -> bool {
        let Self { repository, shared, rest, declared, .. } = self;
        let Shared { lookup, clock, stop, tracker, on_outcome, waker, vitals, reports, .. } = &**shared;
        let (name, began) = (repository.name().to_owned(), Instant::now());
        repository.set_soak_states(Arc::clone(&tracker.soak_states().borrow()));
        let done = unbroken(&name, || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = overdue(stop, GRACE) => None,
                    outcome = async {
                        match turn {
                            Turn::Cycle => cycle(repository, lookup, since, clock.now()).await,
                            Turn::Look => look(repository).await,
                        }
                    } => Some(outcome),
                }
            })
        });
        let (outcome, broke) = match done {
            Ok(None) => {
                tracing::warn!(repository = name, "the cycle did not end in time; it is aborted");
                return false;
            }
            Ok(Some(outcome)) => (outcome, false),
            Err(broken) => (broken.outcome(), true),
        };
        // What follows may break off, too: then no cycle has ended, which is an incident if it lasts.
        let told = unbroken(&name, || {
            let looked = turn == Turn::Look;
            if !looked {
                on_outcome(&outcome);
            }
            let view = repository.view(outcome, clock.now());
            let report = repository.report(&view);
            tell(waker, declared, &view);
            reports.publish(report);
            if looked {
                vitals.looked(&name, Instant::now());
                tracker.look_at(view);
            } else {
                vitals.ended(&view.outcome, began.elapsed(), (Instant::now(), clock.now()));
                tracker.publish(view);
            }
        });
        let flushed = unbroken(&name, || lookup.flush());
        if broke || told.is_err() || flushed.is_err() {
            rest.again();
        } else {
            rest.is_over();
        }
        true
    }

    /// Waits until the next cycle is due. In the meantime, a repository that moves, a late registry answer, a gate that
    /// opens on its own, or a change in the clusters that a promotion may wait for triggers planning at once, with the
    /// available registry answers.
    async fn wait(mut self, since: Timestamp, due: Due) -> Option<Self> {
        let began = (Instant::now(), self.shared.clock.now());
        loop {
            let shared = Arc::clone(&self.shared);
            let Shared { lookup, clock, stop, replicas, .. } = &*shared;
            // What only a cycle could act upon is no reason to read it again.
            let (left, elsewhere) = (due.left(clock), self.is_elsewhere());
            let late: BTreeSet<_> = self.repository.late().clone();
            let opens = self.repository.opens().map(|opens| until(opens, clock)).filter(|opens| *opens < left);
            let opens = opens.filter(|_| !elsewhere);
            // During the pause no cycle would follow, so triggers are handled when the pause is over.
            let rest = self.rest.left();
            let (pause, awake) = (rest.unwrap_or(left).min(left).min(watch(&shared.trigger)), rest.is_none());
            let at_once = tokio::select! {
                () = stop.cancelled() => return Some(self),
                () = tokio::time::sleep(pause) => false,
                () = tokio::time::sleep(opens.unwrap_or(left).max(SHORTEST)), if awake && opens.is_some() => {
                    // Only once: what cannot be read now is retried when the cycle is due, not every second.
                    self.repository.has_opened();
                    true
                }
                () = news(&mut self.soak_states), if awake && !elsewhere && self.repository.promotes() => true,
                () = lookup.wait(&late, None), if awake && !elsewhere && !late.is_empty() => true,
                // Whoever begins to work for it does so as if it had just been started.
                () = handed(replicas.as_deref(), self.repository.name(), (self.term, self.passed_on)), if awake => {
                    if self.passed_on != replicas.as_ref().map_or(0, |it| it.woken(self.repository.name())) {
                        self.repository.has_forge_news(clock.now());
                    }
                    return Some(self);
                }
                // What is hinted at during a cycle is seen here after it.
                Ok(()) = self.woken.changed(), if awake => {
                    if let Some(at) = self.woken.borrow_and_update().forge {
                        self.repository.has_forge_news(at);
                    }
                    if elsewhere {
                        replicas.iter().for_each(|replicas| replicas.pass_on(self.repository.name()));
                    }
                    true
                }
            };
            if !at_once {
                if due.left(clock).is_zero() {
                    return Some(self);
                }
                if let Some(step) = stepped(began, (Instant::now(), clock.now())) {
                    tracing::warn!(
                        repository = self.repository.name(),
                        "the clock was set by {step:#}; a cycle follows at once"
                    );
                    return Some(self);
                }
                match self.moved().await {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => {
                        tracing::debug!(repository = self.repository.name(), %error, "the remote did not answer");
                        continue;
                    }
                }
            }
            self = self.cycle(since).await?;
        }
    }

    /// Whether the repository has changed since it was last read; a stopping bot does not check.
    async fn moved(&self) -> Result<bool, crate::git::GitError> {
        tokio::select! {
            () = self.shared.stop.cancelled() => Ok(false),
            moved = AssertUnwindSafe(self.repository.reader().moved()).catch_unwind() => {
                // The next cycle meets the same, and tells of it.
                moved.unwrap_or_else(|panic| {
                    drop(Broken::by(&*panic, self.repository.name()));
                    Ok(true)
                })
            }
        }
    }
}

/// When the next cycle is due: after a delay, which setting the clock does not affect, or at a time of the clock.
#[derive(Debug, Clone, Copy)]
enum Due {
    In(Instant),
    At(Timestamp),
}

impl Due {
    /// The next time of the trigger, plus up to a tenth of the wait, so that many bots do not send requests at the same
    /// second.
    fn after(trigger: &Trigger, (now, clock): (Instant, Timestamp)) -> Self {
        let extra = |wait: Duration| wait.min(LONGEST).mul_f64(0.1 * fastrand::f64());
        match trigger {
            Trigger::Every(interval) => Self::In(now + *interval + extra(*interval)),
            // A schedule that never occurs (every 30 February) was refused when it was loaded.
            Trigger::Cron(schedule) => {
                let next = schedule.next(clock).unwrap_or(Timestamp::MAX);
                let wait = Duration::try_from(next.duration_since(clock)).unwrap_or_default();
                Self::At(next.checked_add(extra(wait)).unwrap_or(next))
            }
        }
    }

    fn left(self, clock: &Clock) -> Duration {
        match self {
            Self::In(due) => due.saturating_duration_since(Instant::now()),
            Self::At(due) => until(due, clock),
        }
    }
}

/// The time until a time of the clock.
fn until(time: Timestamp, clock: &Clock) -> Duration {
    Duration::try_from(time.duration_since(clock.now())).unwrap_or_default()
}

/// By how much the clock was set since a wait began, compared with the monotonic clock.
fn stepped(began: (Instant, Timestamp), now: (Instant, Timestamp)) -> Option<SignedDuration> {
    let passed = SignedDuration::try_from(now.0.duration_since(began.0)).ok()?;
    let step = now.1.duration_since(began.1) - passed;
    (step.abs() >= STEP).then_some(step)
}

/// How many consecutive cycles of a repository have panicked, and until when it is left alone.
#[derive(Debug, Default)]
struct Rest(Option<(u32, Instant)>);

impl Rest {
    /// The remaining pause before another attempt.
    fn left(&self) -> Option<Duration> {
        let (_, until) = self.0?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Records another panic.
    fn again(&mut self) {
        let count = self.0.map_or(0, |(count, _)| count) + 1;
        let pause = SHORTEST.saturating_mul(2_u32.saturating_pow(count)).min(LONGEST);
        self.0 = Some((count, Instant::now() + pause));
    }

    fn is_over(&mut self) {
        self.0 = None;
    }
}

/// Work on a repository that panicked, which is a bug in the bot.
#[derive(Debug)]
struct Broken {
    name: String,
    said: String,
}

impl Broken {
    /// The work on this repository panicked.
    fn by(panic: &(dyn Any + Send), name: &str) -> Self {
        let said = super::unbroken::said(panic);
        tracing::error!(repository = name, "the cycle failed because of a bug in the bot: {said}");
        Self { name: name.to_owned(), said }
    }

    /// How it is reported.
    fn outcome(self) -> CycleOutcome {
        let message = format!("the cycle failed because of a bug in the bot: {}", self.said);
        let mut outcome = CycleOutcome::new(&self.name);
        outcome.add_blocking([Problem {
            path: None,
            line: None,
            image: None,
            message,
            code: Some(FailureCode::Internal),
        }]);
        outcome
    }
}

/// The result of the work, unless it panics.
fn unbroken<T>(name: &str, work: impl FnOnce() -> T) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Broken::by(&*panic, name))
}

/// The outcome of a second cycle, with the results of the first one, even if the second panics.
async fn followed(first: CycleOutcome, second: impl Future<Output = CycleOutcome>) -> CycleOutcome {
    let second = AssertUnwindSafe(second).catch_unwind().await;
    let second = second.unwrap_or_else(|panic| Broken::by(&*panic, &first.repository).outcome());
    second.with_done_of(first)
}

/// A waker for these repositories.
fn waker(repositories: &[Repository], lookup: &Arc<Lookup>, debounce: Duration) -> Waker {
    let named = repositories.iter().map(|repository| (repository.name().to_owned(), repository.addresses()));
    Waker::new(named, Arc::clone(lookup), debounce)
}

/// Tells the waker which images are declared and covered by a policy, if that has changed.
fn tell(waker: &Waker, before: &mut Vec<Arc<Vec<Declared>>>, view: &View) {
    let now: Vec<_> = view.branches.iter().map(|branch| Arc::clone(&branch.declared)).collect();
    let same = before.len() == now.len() && before.iter().zip(&now).all(|(before, now)| Arc::ptr_eq(before, now));
    // A repository that could not be read may declare anything.
    if !same && !now.is_empty() {
        let declared = now.iter().flat_map(|declared| declared.iter()).filter(|declared| declared.policy.is_some());
        waker.declares(&view.name, declared.map(|declared| &declared.name));
        *before = now;
    }
}

/// Waits for changes in the clusters. A rollout causes many, and one cycle for a few of them is enough.
async fn news(soak_states: &mut Receiver<Arc<SoakStates>>) {
    if soak_states.changed().await.is_err() {
        return std::future::pending().await;
    }
    // If this is cancelled within the second, the change counts as unseen.
    soak_states.mark_changed();
    tokio::time::sleep(SHORTEST).await;
    drop(soak_states.borrow_and_update());
}

/// Ends when `stop` was called and the grace period is over.
async fn overdue(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

async fn cycle(repository: &mut Repository, lookup: &Lookup, since: Timestamp, now: Timestamp) -> CycleOutcome {
    match repository.apply(lookup, Timing { now, since, pause: PAUSE }).await {
        Ok(outcome) => outcome,
        Err(error) => unreadable(repository.name(), &error),
    }
}

/// Reads a repository for which another replica works: what it declares is followed here, too.
async fn look(repository: &mut Repository) -> CycleOutcome {
    if let Err(error) = repository.refresh().await {
        return unreadable(repository.name(), &error);
    }
    let mut outcome = CycleOutcome::new(repository.name());
    outcome.revision = repository.reader().tip();
    outcome.add_blocking(repository.reader().main_policies().1);
    outcome
}

/// Returns once it has changed whether this replica works for a repository, or, where it does, once another one has passed
/// on a hint.
async fn handed(replicas: Option<&Replicas>, repository: &str, (term, passed_on): (Option<u32>, u64)) {
    let Some(replicas) = replicas else { return std::future::pending().await };
    let mut changes = replicas.changes();
    loop {
        drop(changes.borrow_and_update());
        let held = match replicas.holding(repository) {
            Holding::Held { term } => Some(term),
            Holding::Lapsed | Holding::Elsewhere => None,
        };
        if held.is_some() && (held != term || passed_on != replicas.woken(repository)) {
            return;
        }
        // A term that has lapsed is not over before another replica has begun one.
        if held.is_none() && term.is_some() && replicas.holding(repository) == Holding::Elsewhere {
            return;
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn unreadable(name: &str, error: &RepositoryError) -> CycleOutcome {
    let mut outcome = CycleOutcome::new(name);
    outcome.add_blocking([error.problem()]);
    outcome
}

/// The time between two checks: shorter than [`WATCH`] if the cycles are close together.
fn watch(trigger: &Trigger) -> Duration {
    match trigger {
        Trigger::Every(interval) => WATCH.min(*interval / LOOKS),
        Trigger::Cron(_) => WATCH,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::daemon::outcome::{ActionOutcome, Done};
    use crate::daemon::tracker::TrackerSetup;
    use crate::model::{BranchName, CommitId};
    use crate::plan::ActionKind;

    async fn bot(dir: &std::path::Path, names: &[&str]) -> Bot {
        let mut repositories = Vec::new();
        for name in names {
            let settings = crate::daemon::execute::tests::settings(name);
            let nothing = crate::config::Environment::from_fn(|_| None);
            repositories.push(crate::daemon::repository(&settings, dir, &nothing).await.unwrap());
        }
        let client = crate::registry::RegistryClient::new(Vec::new(), crate::registry::Limits::default()).unwrap();
        let lookup = Lookup::new(client, crate::store::Store::in_memory().unwrap(), Clock::system());
        Bot::new(repositories, lookup, Clock::system())
    }

    #[tokio::test]
    async fn what_breaks_off_in_one_repository_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut bot = bot(dir.path(), &["first", "broken", "last"]).await;
        let done = bot.each(async |repository: &mut Repository| {
            assert_ne!(repository.name(), "broken", "brace");
            repository.name().to_owned()
        });
        let done: Vec<_> = done.await;
        let Ok([Ok(first), Err(broken), Ok(last)]) = <[_; 3]>::try_from(done) else { panic!() };
        let broken = broken.outcome();
        assert_eq!([first, broken.repository.clone(), last], ["first", "broken", "last"]);
        assert_eq!(broken.problems[0].problem.code, Some(FailureCode::Internal));
        assert!(broken.incomplete() && broken.problems[0].problem.message.contains("brace"), "{broken:?}");
        let names: Vec<&str> = bot.repositories.iter().map(Repository::name).collect();
        assert_eq!(names, ["first", "broken", "last"], "the next plan has all of them");
    }

    #[tokio::test]
    async fn what_breaks_off_after_a_cycle_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let bot = bot(dir.path(), &["broken"]).await;
        let setup = TrackerSetup {
            clusters: Vec::new(),
            sinks: Vec::new(),
            heartbeat: None,
            rules: crate::landing::incidents::Rules::new(Duration::from_secs(60)),
            lookup: Arc::clone(bot.lookup()),
            clock: Clock::system(),
            state: None,
            replicas: None,
        };
        let (tracker, vitals, stop) = (Tracker::start(setup), Arc::clone(bot.vitals()), CancellationToken::new());
        let (told, ends) = (Arc::new(AtomicUsize::new(0)), stop.clone());
        let counted = Arc::clone(&told);
        let on_outcome: OnOutcome = Arc::new(move |_| {
            assert_ne!(counted.fetch_add(1, Ordering::Relaxed), 0, "brace");
            ends.cancel();
        });
        bot.run(&Trigger::Every(Duration::from_millis(10)), &stop, tracker, on_outcome).await;
        assert_eq!(told.load(Ordering::Relaxed), 2);
        let vitals = vitals.snapshot().remove("broken").unwrap();
        assert_eq!(vitals.good + vitals.incomplete, 1, "a cycle of which nobody was told has not ended");
    }

    #[tokio::test]
    async fn repositories_that_block_do_so_beside_one_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut bot = bot(dir.path(), &["a", "b", "c"]).await;
        // Blocks until three threads are here; the runtime has one.
        let all = Arc::new(std::sync::Barrier::new(3));
        let done = bot.each(async move |_: &mut Repository| all.wait().is_leader());
        let leaders = done.await.into_iter().filter(|leads| matches!(leads, Ok(true))).count();
        assert_eq!(leaders, 1);
    }

    #[test]
    fn work_that_breaks_off_is_told_and_rests() {
        assert_eq!(unbroken("deploys", || 1).ok(), Some(1));
        let broken = unbroken("deploys", || -> u8 { panic!("brace {}", 400) }).unwrap_err();
        let outcome = broken.outcome();
        assert!(outcome.blocked() && outcome.incomplete(), "{outcome:?}");
        assert!(outcome.problems[0].problem.message.ends_with("a bug in the bot: brace 400"), "{outcome:?}");
        let mut rest = Rest::default();
        assert_eq!(rest.left(), None);
        for _ in 0..40 {
            rest.again();
            assert!(rest.left().is_some_and(|left| left <= LONGEST));
        }
        rest.is_over();
        assert_eq!(rest.left(), None);
    }

    #[tokio::test]
    async fn what_a_first_cycle_did_stays_where_the_second_breaks_off() {
        let outcome = |done: &[bool]| {
            let mut outcome = CycleOutcome::new("deploys");
            let (branch, commit) = (BranchName::parse("main").unwrap(), CommitId::parse(&"1".repeat(40)).unwrap());
            let action = crate::daemon::execute::tests::action(ActionKind::Commit, "dev");
            outcome.actions.extend(done.iter().map(|done| match done {
                true => {
                    let done = Done { commit: commit.clone(), pull_request: None, verified: true };
                    ActionOutcome::done(&branch, &action, done)
                }
                false => ActionOutcome::planned(&branch, &action),
            }));
            outcome
        };
        let broken = followed(outcome(&[true, false]), async { panic!("brace") }).await;
        assert_eq!(broken.actions.iter().map(ActionOutcome::is_done).collect::<Vec<_>>(), [true], "{broken:?}");
        assert!(broken.problems[0].problem.message.ends_with("brace"), "{broken:?}");
        let whole = followed(outcome(&[true, false]), async { outcome(&[false]) }).await;
        assert_eq!(whole.actions.iter().map(ActionOutcome::is_done).collect::<Vec<_>>(), [true, false], "{whole:?}");
    }

    #[test]
    fn a_clock_that_is_set_moves_a_schedule_and_no_interval() {
        let wall = Timestamp::from_second(1_790_000_000).unwrap();
        let began = Instant::now();
        let set = |seconds: i64| Clock::from_fn(move || wall + SignedDuration::from_secs(seconds));
        let every = Due::after(&Trigger::Every(Duration::from_secs(600)), (began, wall));
        for seconds in [-86_400, 0, 86_400] {
            let left = every.left(&set(seconds));
            assert!(left > Duration::from_secs(590) && left <= Duration::from_secs(660), "{seconds}: {left:?}");
        }
        // It is 14:13:20 UTC.
        let schedule = crate::policy::Schedule::parse("0 15 * * *", jiff::tz::TimeZone::UTC).unwrap();
        let cron = Due::after(&Trigger::Cron(schedule), (began, wall));
        let left = |seconds: i64| cron.left(&set(seconds)).as_secs();
        assert!((2800..=3100).contains(&left(0)), "{}", left(0));
        assert_eq!((left(-3600) - left(0), left(7200)), (3600, 0));
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_and_time_that_passed_is_not() {
        let (began, wall) = (Instant::now(), Timestamp::from_second(1_790_000_000).unwrap());
        for (passed, set, expected) in
            [(0, 0, None), (3600, 0, None), (15, -86_400, Some(-86_400)), (15, 120, Some(120))]
        {
            let now =
                (began + Duration::from_secs(passed), wall + SignedDuration::from_secs(passed.cast_signed() + set));
            assert_eq!(stepped((began, wall), now), expected.map(SignedDuration::from_secs), "{passed} {set}");
        }
    }
}
