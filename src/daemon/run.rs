//! The loop: every repository on its own, so that a sick one never delays a healthy one (G6).

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Trigger;
use crate::model::FailureCode;
use crate::plan::Problem;
use crate::plan::SoakStates;

use super::clock::Clock;
use super::outcome::{ActionOutcome, CycleOutcome};
use super::queries::Lookup;
use super::repository::{Repository, RepositoryError, Timing};
use super::tracker::Tracker;

/// The first pause after a lost race (Kargo waits as long).
const PAUSE: Duration = Duration::from_millis(500);

/// How long a cycle may go on after it was told to stop: whoever stops a bot waits ten seconds at most, also where a remote
/// hangs.
const GRACE: Duration = Duration::from_secs(8);

/// The longest pause after cycles that broke off.
const LONGEST: Duration = Duration::from_mins(10);

/// A clock that goes so much faster or slower than time was set.
const STEP: SignedDuration = SignedDuration::from_secs(30);

/// How often a waiting loop looks, at most, whether the repository moved: one `ls-remote`.
const WATCH: Duration = Duration::from_secs(15);

/// How long it rests at least between two cycles that gates or clusters ask for.
const SHORTEST: Duration = Duration::from_secs(1);

/// How many times it looks between two cycles, at most.
const LOOKS: u32 = 4;

/// The bot: repositories, and the one door to all registries.
#[derive(Debug)]
pub struct Bot {
    /// The repositories, in the order of the configuration.
    pub repositories: Vec<Repository>,
    lookup: Arc<Lookup>,
    clock: Clock,
    /// Until when one plan or cycle waits for registries that are silent.
    deadline: Option<Instant>,
}

impl Bot {
    /// A bot over repositories that have not been read yet.
    #[must_use]
    pub fn new(repositories: Vec<Repository>, lookup: Lookup, clock: Clock) -> Self {
        Self { repositories, lookup: Arc::new(lookup), clock, deadline: None }
    }

    /// The same, where [`Bot::plan`] and [`Bot::apply`] wait for silent registries until this time; what is unknown then is
    /// a problem of their reports.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// The door to all registries.
    #[must_use]
    pub fn lookup(&self) -> &Arc<Lookup> {
        &self.lookup
    }

    /// HTTP requests sent to registries so far.
    #[must_use]
    pub fn registry_requests(&self) -> u64 {
        self.lookup.requests()
    }

    /// What would be done now; nothing is written. With `diff`, each action carries the change of its files.
    pub async fn plan(&mut self, diff: bool) -> Vec<CycleOutcome> {
        let (lookup, clock, deadline) = (&self.lookup, &self.clock, self.deadline);
        let outcomes = self.repositories.iter_mut().map(|repository| async move {
            let now = clock.now();
            match repository.refresh().await {
                Ok(()) => {
                    let mut planned = repository.plan(lookup, now, now).await;
                    if !repository.late().is_empty() {
                        lookup.wait(repository.late(), deadline).await;
                        planned = repository.plan(lookup, now, now).await;
                    }
                    repository.preview(&planned, diff)
                }
                Err(error) => unreadable(repository.name(), &error),
            }
        });
        let outcomes = join_all(outcomes).await;
        self.lookup.flush();
        outcomes
    }

    /// Whether a policy of a repository asks for proof from another environment, as of the last plan.
    #[must_use]
    pub fn promotes(&self) -> bool {
        self.repositories.iter().any(Repository::promotes)
    }

    /// Looks at the clusters before anything is planned that needs proof from them. A repository that cannot be read is as it
    /// was; whatever is done next says so.
    pub async fn prove(&mut self, tracker: &Arc<Tracker>, patience: Duration) {
        let read = self.repositories.iter_mut().map(|repository| async move {
            if let Err(error) = repository.refresh().await {
                tracing::debug!(repository = repository.name(), %error, "it cannot be read");
            }
        });
        drop(join_all(read).await);
        for repository in &mut self.repositories {
            let mut outcome = CycleOutcome::new(repository.name());
            outcome.revision = repository.reader().tip();
            outcome.add_blocking(repository.reader().main_policies().1);
            tracker.publish(repository.view(outcome, self.clock.now()));
        }
        tracker.listed(patience).await;
        let _looked = tracker.look().await.is_some();
        let standings = tracker.standings().borrow().clone();
        for repository in &mut self.repositories {
            repository.set_standings(Arc::clone(&standings));
        }
        tracker.keep().await;
    }

    /// Lets the tracker know how every repository stands; nothing is written.
    pub async fn view(&mut self, tracker: &Tracker) {
        let outcomes = self.plan(false).await;
        for (repository, outcome) in self.repositories.iter_mut().zip(outcomes) {
            tracker.publish(repository.view(outcome, self.clock.now()));
        }
    }

    /// One cycle of every repository; where a registry was silent, what the others gave is written first, and a second
    /// cycle follows when it has answered or is given up.
    pub async fn apply(&mut self) -> Vec<CycleOutcome> {
        let (lookup, clock, deadline) = (&self.lookup, &self.clock, self.deadline);
        let cycles = self.repositories.iter_mut().map(|repository| async move {
            let now = clock.now();
            let outcome = cycle(repository, lookup, now, now).await;
            if repository.late().is_empty() {
                return outcome;
            }
            lookup.wait(repository.late(), deadline).await;
            let mut last = cycle(repository, lookup, now, clock.now()).await;
            last.actions.splice(0..0, outcome.actions.into_iter().filter(ActionOutcome::is_done));
            last
        });
        let outcomes = join_all(cycles).await;
        self.lookup.flush();
        outcomes
    }

    /// One more cycle, now that clusters have been looked at; what the first one did stays in the outcomes.
    pub async fn apply_again(&mut self, before: Vec<CycleOutcome>) -> Vec<CycleOutcome> {
        let mut outcomes = self.apply().await;
        for (outcome, before) in outcomes.iter_mut().zip(before) {
            outcome.actions.splice(0..0, before.actions.into_iter().filter(ActionOutcome::is_done));
        }
        outcomes
    }

    /// Cycles until `stop`: at every trigger, and in between whenever a repository moves. Each outcome goes to `told`. A cycle
    /// that is under way is finished first, for some seconds at most. A cycle that breaks off is a fault of the bot: it is
    /// told like a repository that cannot be read, tried again after a growing pause, and no other repository's concern.
    pub async fn run(
        self,
        trigger: &Trigger,
        stop: &CancellationToken,
        tracker: Arc<Tracker>,
        told: &(dyn Fn(&CycleOutcome) + Sync),
    ) {
        let (lookup, clock) = (&self.lookup, &self.clock);
        let tracking = tokio::spawn(Arc::clone(&tracker).run(stop.clone()));
        let tracker = &tracker;
        let loops = self.repositories.into_iter().map(|mut repository| async move {
            let name = repository.name().to_owned();
            repository.gather();
            let mut standings = tracker.standings();
            let broken = Broken::default();
            let cycles = async {
                while !stop.is_cancelled() {
                    let since = clock.now();
                    let done = async |repository: &mut Repository, since, now| {
                        if broken.rests() {
                            return;
                        }
                        repository.set_standings(Arc::clone(&tracker.standings().borrow()));
                        let outcome = unbroken(&name, &broken, cycle(repository, lookup, since, now)).await;
                        told(&outcome);
                        let view = AssertUnwindSafe(|| repository.view(outcome, clock.now()));
                        match std::panic::catch_unwind(view) {
                            Ok(view) => tracker.publish(view),
                            Err(_) => broken.again(),
                        }
                    };
                    done(&mut repository, since, since).await;
                    lookup.flush();
                    let next = jittered(trigger, since);
                    let times = Times { since, next, watch: watch(trigger) };
                    wait((&mut repository, &mut standings), lookup, clock, times, stop, &done).await;
                }
            };
            tokio::select! {
                () = cycles => {}
                // What breaks off here is as good as a crash: the next start finds out what was done.
                () = overdue(stop) => tracing::warn!(repository = name, "the cycle did not end in time; it is broken off"),
            }
        });
        drop(join_all(loops).await);
        if let Err(error) = tracking.await {
            tracing::error!(%error, "the tracking broke off, which is a fault of the bot");
        }
    }
}

/// When a cycle began, when the next is due, and how often to look in between.
#[derive(Clone, Copy)]
struct Times {
    since: Timestamp,
    next: Timestamp,
    watch: Duration,
}

/// Waits for the next trigger. Meanwhile a repository that moves, a registry that answers late, a gate that opens by itself
/// and news from the clusters that a promotion may wait for are planned at once, with the registry answers there are.
async fn wait(
    (repository, standings): (&mut Repository, &mut Receiver<Arc<SoakStates>>),
    lookup: &Lookup,
    clock: &Clock,
    Times { since, next, watch }: Times,
    stop: &CancellationToken,
    cycle: &impl AsyncFn(&mut Repository, Timestamp, Timestamp),
) {
    let began = (Instant::now(), clock.now());
    loop {
        let left = |until: Timestamp| Duration::try_from(until.duration_since(clock.now())).unwrap_or_default();
        let late = repository.late().clone();
        let opens = repository.opens().filter(|opens| *opens < next);
        let opening = left(opens.unwrap_or(next)).max(SHORTEST);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(left(next).min(watch)) => {}
            () = tokio::time::sleep(opening), if opens.is_some() => {
                // Once: what cannot be read now is looked at when it is due, not every second.
                repository.has_opened();
                cycle(repository, since, clock.now()).await;
                continue;
            }
            () = news(standings), if repository.promotes() => {
                cycle(repository, since, clock.now()).await;
                continue;
            }
            () = lookup.wait(&late, None), if !late.is_empty() => {
                cycle(repository, since, clock.now()).await;
                continue;
            }
        }
        let now = clock.now();
        if now >= next {
            return;
        }
        if let Some(step) = stepped(began, (Instant::now(), now)) {
            tracing::warn!(repository = repository.name(), "the clock was set by {step:#}; a cycle follows at once");
            return;
        }
        match repository.reader().moved().await {
            Ok(true) => cycle(repository, since, now).await,
            Ok(false) => {}
            Err(error) => tracing::debug!(repository = repository.name(), %error, "the remote did not answer"),
        }
    }
}

/// By how much the clock was set since a wait began; time itself is what the monotonic clock says.
fn stepped(began: (Instant, Timestamp), now: (Instant, Timestamp)) -> Option<SignedDuration> {
    let passed = SignedDuration::try_from(now.0.duration_since(began.0)).ok()?;
    let step = now.1.duration_since(began.1) - passed;
    (step.abs() >= STEP).then_some(step)
}

/// How often cycles of a repository have broken off one after another, and until when it is left alone.
#[derive(Debug, Default)]
struct Broken(Mutex<Option<(u32, Instant)>>);

impl Broken {
    fn state(&self) -> MutexGuard<'_, Option<(u32, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is too early to try again.
    fn rests(&self) -> bool {
        self.state().is_some_and(|(_, until)| Instant::now() < until)
    }

    /// One more broke off.
    fn again(&self) {
        let mut state = self.state();
        let count = state.map_or(0, |(count, _)| count) + 1;
        let pause = SHORTEST.saturating_mul(2_u32.saturating_pow(count)).min(LONGEST);
        *state = Some((count, Instant::now() + pause));
    }

    fn healed(&self) {
        *self.state() = None;
    }
}

/// A cycle, or what is to be told of one that broke off.
async fn unbroken(name: &str, broken: &Broken, cycle: impl Future<Output = CycleOutcome>) -> CycleOutcome {
    match AssertUnwindSafe(cycle).catch_unwind().await {
        Ok(outcome) => {
            broken.healed();
            outcome
        }
        Err(panic) => {
            broken.again();
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            let said = crate::model::one_line(said, 200);
            tracing::error!(repository = name, "the cycle broke off, which is a fault of the bot: {said}");
            let message = format!("the cycle broke off, which is a fault of the bot: {said}");
            let code = Some(FailureCode::Internal);
            let mut outcome = CycleOutcome::new(name);
            outcome.add_blocking([Problem { path: None, line: None, message, code }]);
            outcome
        }
    }
}

/// Waits for news from the clusters. A rollout brings many, and a cycle for a few of them is enough.
async fn news(standings: &mut Receiver<Arc<SoakStates>>) {
    if standings.changed().await.is_err() {
        return std::future::pending().await;
    }
    // Who is called away in this second has not seen it.
    standings.mark_changed();
    tokio::time::sleep(SHORTEST).await;
    drop(standings.borrow_and_update());
}

/// Ends when `stop` was called and the time to obey is over.
async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

async fn cycle(repository: &mut Repository, lookup: &Lookup, since: Timestamp, now: Timestamp) -> CycleOutcome {
    match repository.apply(lookup, Timing { now, since, pause: PAUSE }).await {
        Ok(outcome) => outcome,
        Err(error) => unreadable(repository.name(), &error),
    }
}

fn unreadable(name: &str, error: &RepositoryError) -> CycleOutcome {
    let mut outcome = CycleOutcome::new(name);
    outcome.add_blocking([error.problem()]);
    outcome
}

/// How long to wait between two looks: shorter than [`WATCH`] where the cycles are close together.
fn watch(trigger: &Trigger) -> Duration {
    match trigger {
        Trigger::Every(interval) => WATCH.min(*interval / LOOKS),
        Trigger::Cron(_) => WATCH,
    }
}

/// The next time of the trigger, up to a tenth of the wait later, so that many bots do not ask at the same second.
fn jittered(trigger: &Trigger, now: Timestamp) -> Timestamp {
    let next = match trigger {
        Trigger::Every(interval) => now.checked_add(*interval).unwrap_or(Timestamp::MAX),
        // A schedule without a next time (every 30 February) was refused when it was loaded.
        Trigger::Cron(schedule) => schedule.next(now).unwrap_or(Timestamp::MAX),
    };
    let wait = next.duration_since(now);
    let extra = SignedDuration::from_secs_f64(wait.as_secs_f64().clamp(0.0, 600.0) * 0.1 * fastrand::f64());
    next.checked_add(extra).unwrap_or(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cycle_that_breaks_off_is_told_and_rests() {
        let broken = Broken::default();
        let well = || std::future::ready(CycleOutcome::new("deploys"));
        assert!(unbroken("deploys", &broken, well()).await.problems.is_empty());
        assert!(!broken.rests());
        let outcome = unbroken("deploys", &broken, async { panic!("brace {}", 400) }).await;
        assert!(outcome.blocked() && outcome.incomplete() && broken.rests());
        assert!(outcome.problems[0].problem.message.ends_with("a fault of the bot: brace 400"), "{outcome:?}");
        for _ in 0..40 {
            broken.again();
        }
        assert!(broken.state().is_some_and(|(_, until)| until <= Instant::now() + LONGEST));
        assert!(unbroken("deploys", &broken, well()).await.problems.is_empty());
        assert!(!broken.rests());
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
