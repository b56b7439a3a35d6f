//! One running receiver: its queue, its memory, its health, and the task that delivers.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::retry;
use crate::model::{Fence, IncidentKey, Notice, NoticeKind, Resolution};

use super::client::{Failure, FailureKind};
use super::memory::{SinkMemory, SinkTold};
use super::notifier::{Clock, Pace, Render};
use super::queue::{Queue, Taking};
use super::settings::{Filter, Mute, SinkSettings};
use super::sinks::{Delivered, Delivery, Readers, Sink};

/// The longest sleep before a task checks its mute windows again, because the clock may be changed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The health of a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkHealth {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Since when and why it has been failing; `None` if it works.
    pub failing: Option<Failing>,
    /// When it last accepted something.
    pub last_success: Option<Timestamp>,
    /// What it left out of the last notice it accepted.
    pub left_out: Option<String>,
    /// How many notices are waiting, ...
    pub waiting: usize,
    /// ... and since when the oldest is.
    pub oldest: Option<Timestamp>,
    /// How many notices were dropped because too many were waiting.
    pub dropped: u64,
    /// How many notices it permanently rejected.
    pub rejected: u64,
    /// Until when it is muted.
    pub muted_until: Option<Timestamp>,
}

/// An ongoing failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// How many attempts have failed.
    pub attempts: u32,
    /// The last error.
    pub error: String,
}

/// What the task shares with its callers.
#[derive(Debug)]
pub(super) struct Shared {
    name: String,
    kind: &'static str,
    readers: Readers,
    filter: Filter,
    mute: Mute,
    /// Asked before each notice: whether this replica still works for its repository.
    fence: Fence,
    state: Mutex<State>,
    wake: Notify,
    rested: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// The notice being delivered.
    telling: Option<Notice>,
    memory: SinkMemory,
    /// Whether it is unknown what the receiver was sent before the restart.
    amnesia: bool,
    failing: Option<Failing>,
    last_success: Option<Timestamp>,
    left_out: Option<String>,
    rejected: u64,
    /// Nothing is left that could be sent now.
    resting: bool,
    unusable: bool,
}

impl State {
    fn on_its_way(&self, notice: &Notice) -> bool {
        let id = notice.incident.key.id();
        self.queue.get(&id).is_some()
            || self.telling.as_ref().is_some_and(|telling| {
                telling.kind != NoticeKind::Landed && telling.incident.key == notice.incident.key
            })
    }

    /// Whether the receiver is about to be notified that the incident of the same update ended because it landed.
    fn ends_as_landed(&self, landed: &Notice) -> bool {
        let waiting = self.queue.get(&landed.incident.key.id());
        waiting.is_some_and(|notice| notice.resolution == Some(Resolution::Landed))
    }

    fn accept(&mut self, notice: &Notice, filter: &Filter, now: Timestamp) {
        let told = self.memory.notified.get(&notice.incident.key.id());
        let on_its_way = self.on_its_way(notice);
        let wanted = filter.wants(notice);
        let kind = match notice.kind {
            // The receiver got the incident, so it also gets its end, whatever the filter says by now.
            NoticeKind::Resolved if told.is_some() || on_its_way || (self.amnesia && wanted) => NoticeKind::Resolved,
            NoticeKind::Resolved | NoticeKind::Test => return,
            _ if !wanted => return,
            NoticeKind::Landed => NoticeKind::Landed,
            NoticeKind::Raised if told.is_some() && !on_its_way => return,
            NoticeKind::Reminder
                if told.is_some_and(|told| {
                    let since = Duration::try_from(now.duration_since(told.at)).unwrap_or_default();
                    // The last reminder went out shortly after it was due, so this one may come that much early.
                    filter.reminder.is_some_and(|least| since < least.mul_f64(0.9))
                }) =>
            {
                return;
            }
            // Its severity was too low before, so it is new to this receiver.
            _ if told.is_none() && !on_its_way => NoticeKind::Raised,
            kind => kind,
        };
        self.queue.add(Notice { kind, ..notice.clone() });
    }

    fn waiting(&self) -> impl Iterator<Item = &Notice> {
        self.telling.iter().chain(self.queue.waiting())
    }
}

impl Shared {
    pub(super) fn new(settings: &SinkSettings, memory: Option<SinkMemory>, fence: Fence) -> Self {
        let mut state = State { amnesia: memory.is_none(), ..State::default() };
        let mut memory = memory.unwrap_or_default();
        std::mem::take(&mut memory.waiting).into_iter().for_each(|notice| state.queue.add(notice));
        state.memory = memory;
        Self {
            name: settings.name.clone(),
            kind: settings.kind.as_str(),
            readers: settings.kind.readers(),
            filter: settings.filter.clone(),
            mute: settings.mute.clone(),
            fence,
            state: Mutex::new(state),
            wake: Notify::new(),
            rested: Notify::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the task after the queue may have changed.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        state.resting &= state.queue.len() == 0;
        drop(state);
        self.wake.notify_one();
    }

    pub(super) fn unusable(&self, failure: &Failure, now: Timestamp) {
        tracing::error!(receiver = self.name, error = %failure, "this receiver cannot be used; it gets no notices");
        let mut state = self.state();
        state.unusable = true;
        state.failing = Some(Failing { since: now, attempts: 0, error: failure.message.clone() });
    }

    pub(super) fn tell(&self, notices: &[Notice], now: Timestamp) {
        let mut state = self.state();
        for notice in notices {
            if notice.kind == NoticeKind::Landed && self.readers == Readers::People && state.ends_as_landed(notice) {
                continue;
            }
            state.accept(notice, &self.filter, now);
        }
        self.wake(state);
    }

    pub(super) fn firing(&self, open: &[&Notice], now: Timestamp) {
        let mut state = self.state();
        state.amnesia = false;
        for notice in open.iter().filter(|notice| self.filter.wants(notice)) {
            // Anything that finds no room is offered again next time.
            let known = state.memory.notified.contains_key(&notice.incident.key.id()) || state.on_its_way(notice);
            if !known && !state.queue.is_full() {
                state.queue.add(Notice { kind: NoticeKind::Raised, ..(*notice).clone() });
            }
        }
        let open: BTreeSet<&IncidentKey> = open.iter().map(|notice| &notice.incident.key).collect();
        let over: Vec<Notice> = state
            .memory
            .notified
            .values()
            .filter(|told| !open.contains(&told.notice.incident.key) && !state.on_its_way(&told.notice))
            .filter(|told| self.may_tell(&told.notice))
            .map(|told| told.notice.clone())
            .collect();
        for notice in over {
            let resolution = Some(Resolution::Cleared);
            state.queue.add(Notice { kind: NoticeKind::Resolved, at: now, resolution, ..notice });
        }
        self.wake(state);
    }

    /// Whether a notice may go out from here now.
    fn may_tell(&self, notice: &Notice) -> bool {
        self.fence.check(&notice.incident.repository).is_ok()
    }

    /// What it was told about a repository.
    pub(super) fn told(&self, repository: &str) -> SinkTold {
        self.memory().told(repository)
    }

    /// This replica goes on with a repository, of which another one told it this; `open` are its open incidents.
    pub(super) fn adopt(&self, repository: &str, told: &SinkTold, open: &[&Notice]) {
        let mut state = self.state();
        state.queue.forget(repository);
        state.memory.forget(repository);
        state.memory.adopt(told, open);
        told.waiting.iter().for_each(|notice| state.queue.add(notice.clone()));
        self.wake(state);
    }

    pub(super) fn health(&self, now: Timestamp) -> SinkHealth {
        let state = self.state();
        SinkHealth {
            name: self.name.clone(),
            kind: self.kind,
            failing: state.failing.clone(),
            last_success: state.last_success,
            left_out: state.left_out.clone(),
            waiting: state.waiting().count(),
            oldest: state.waiting().map(|notice| notice.at).min(),
            dropped: state.queue.dropped,
            rejected: state.rejected,
            muted_until: self.mute.until(now),
        }
    }

    pub(super) fn memory(&self) -> SinkMemory {
        let state = self.state();
        SinkMemory { waiting: state.waiting().cloned().collect(), ..state.memory.clone() }
    }

    /// Returns once nothing is left that can be sent now.
    pub(super) async fn idle(&self) {
        loop {
            let rested = self.rested.notified();
            tokio::pin!(rested);
            rested.as_mut().enable();
            {
                let state = self.state();
                if state.resting || state.unusable {
                    return;
                }
            }
            rested.await;
        }
    }
}

/// The task.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    sink: Sink,
    clock: Clock,
    render: Render,
    pace: Pace,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, sink: Sink, clock: Clock, render: Render, pace: Pace) -> Self {
        Self { shared, sink, clock, render, pace }
    }

    pub(super) async fn run(self) {
        let mut repeated = Instant::now();
        loop {
            let now = self.clock.now();
            let muted = self.shared.mute.until(now);
            let failed = if self.sink.repeats() && repeated.elapsed() >= self.pace.repeat {
                let result = self.repeat(now).await;
                if result.is_ok() {
                    repeated = Instant::now();
                }
                result.err()
            } else if let Some(notice) = self.next(muted) {
                self.one(notice, now).await.err()
            } else {
                self.rest(muted, now, repeated).await;
                None
            };
            if let Some(pause) = failed {
                tokio::time::sleep(pause).await;
            }
        }
    }

    fn next(&self, muted: Option<Timestamp>) -> Option<Notice> {
        let mut state = self.shared.state();
        let taking = if muted.is_some() { Taking::OnlyOver } else { Taking::All };
        let next = state.queue.take(taking, |notice| self.shared.may_tell(notice));
        state.telling.clone_from(&next);
        state.resting = next.is_none();
        next
    }

    async fn rest(&self, muted: Option<Timestamp>, now: Timestamp, repeated: Instant) {
        self.shared.rested.notify_waiters();
        let until_heard = muted.and_then(|until| Duration::try_from(until.duration_since(now)).ok());
        let mut sleep = until_heard.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        if self.sink.repeats() {
            sleep = sleep.min(self.pace.repeat.saturating_sub(repeated.elapsed()));
        }
        // Timers fire late rather than early; by then, a window that ends now must have ended.
        let sleep = sleep.max(Duration::from_millis(1));
        let _woken = tokio::time::timeout(sleep, self.shared.wake.notified()).await.is_ok();
    }

    /// Delivers one notice; after a failure, returns the pause before the next attempt.
    async fn one(&self, notice: Notice, now: Timestamp) -> Result<(), Duration> {
        let mut memory = self.shared.state().memory.clone();
        let work = async {
            let texts = (self.render)(&notice, now);
            let delivery = Delivery { id: notice.incident.key.id(), notice: &notice, texts: &texts, now };
            self.sink.deliver(&delivery, &mut memory).await
        };
        let result = self.guarded(work).await;
        let given_up = matches!(&result, Err(failure) if failure.kind == FailureKind::Rejected);
        let mut state = self.shared.state();
        state.telling = None;
        if result.is_ok() || given_up {
            // A permanently rejected notice counts as delivered; otherwise it would be retried forever.
            memory.remember(&notice, now);
        }
        state.memory = memory;
        if given_up {
            state.rejected += 1;
        } else if result.is_err() {
            state.queue.put_back(notice);
        }
        drop(state);
        self.note(result, now, given_up)
    }

    async fn repeat(&self, now: Timestamp) -> Result<(), Duration> {
        let mut memory = self.shared.state().memory.clone();
        memory.notified.retain(|_, told| self.shared.may_tell(&told.notice));
        if memory.notified.is_empty() {
            return Ok(());
        }
        let texts = |notice: &Notice| (self.render)(notice, now);
        let result = self.guarded(self.sink.repeat(&memory, now, &texts)).await;
        let given_up = matches!(&result, Err(failure) if failure.kind == FailureKind::Rejected);
        self.note(result, now, given_up)
    }

    /// Runs a delivery with a time limit, and without a panic taking the task down.
    async fn guarded(&self, delivery: impl Future<Output = Delivered>) -> Delivered {
        match tokio::time::timeout(self.pace.notice, AssertUnwindSafe(delivery).catch_unwind()).await {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => {
                let text = "a bug in Landfall kept this message from being sent; next: report it";
                Err(Failure::new(FailureKind::Rejected, text))
            }
            Err(_late) => {
                let text = format!("not finished within {} s; next: check the receiver", self.pace.notice.as_secs());
                Err(Failure::new(FailureKind::Unavailable, text))
            }
        }
    }

    /// Records the result; after a failure that will be retried, returns the pause before the next attempt.
    fn note(&self, result: Delivered, now: Timestamp, given_up: bool) -> Result<(), Duration> {
        let name = &self.shared.name;
        let mut state = self.shared.state();
        let failure = match result {
            Ok(left_out) => {
                if let Some(failing) = state.failing.take() {
                    tracing::info!(receiver = name, since = %failing.since, "the receiver works again");
                }
                if let Some(left_out) = left_out.as_ref().filter(|now| state.left_out.as_ref() != Some(now)) {
                    tracing::warn!(receiver = name, "delivered, but not all of it: {left_out}");
                }
                state.left_out = left_out;
                state.last_success = Some(now);
                return Ok(());
            }
            Err(failure) => failure,
        };
        let before = state.failing.take();
        let attempts = before.as_ref().map_or(0, |failing| failing.attempts).saturating_add(1);
        if before.as_ref().is_none_or(|failing| failing.error != failure.message) {
            tracing::warn!(receiver = name, error = %failure, "the notice was not delivered");
        }
        let since = before.map_or(now, |failing| failing.since);
        state.failing = Some(Failing { since, attempts, error: failure.message });
        if given_up { Ok(()) } else { Err(self.pause(attempts, failure.after)) }
    }

    /// The pause the receiver asked for, or twice the last one; with jitter, so that many do not return at the same
    /// moment.
    fn pause(&self, attempts: u32, asked: Option<Duration>) -> Duration {
        let pause = retry::backoff(self.pace.first_pause, self.pace.longest_pause, attempts, fastrand::f64());
        asked.map_or(pause, |asked| asked + pause.min(Duration::from_secs(5)))
    }
}
