//! All receivers together. Each is notified independently of the others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::model::{Counts, Fence, Incident, IncidentKey, Links, Notice, NoticeKind, Severity, State, Texts};

use super::client::Failure;
use super::memory::{SinkMemory, SinkTold};
use super::settings::SinkSettings;
use super::sinks::Delivery;
use super::worker::{Shared, SinkHealth, Worker};

/// Renders the sentences of a notice, as of a given time.
pub type Render = fn(&Notice, Timestamp) -> Texts;

/// Timeouts and retry intervals.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Maximum time for one request.
    pub request: Duration,
    /// Maximum time for one notice, which may take several requests.
    pub notice: Duration,
    /// The first pause after a failure; it doubles each time, with jitter.
    pub first_pause: Duration,
    /// The longest pause between attempts.
    pub longest_pause: Duration,
    /// Time between two repetitions, for receivers that need them.
    pub repeat: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            notice: Duration::from_secs(60),
            first_pause: Duration::from_secs(2),
            longest_pause: Duration::from_secs(300),
            // Alertmanager recommends 30 s to 3 min.
            repeat: Duration::from_secs(60),
        }
    }
}

/// What a notifier is made from.
pub struct Setup {
    /// The receivers.
    pub sinks: Vec<SinkSettings>,
    /// What [`Notifier::memory`] returned before the last restart.
    pub memory: BTreeMap<String, SinkMemory>,
    /// Renders the sentences.
    pub render: Render,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Timeouts and retry intervals.
    pub pace: Pace,
    /// Asked before each notice, with the name of its repository.
    pub fence: Fence,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("sinks", &self.sinks).field("pace", &self.pace).finish_non_exhaustive()
    }
}

/// A view of the running receivers, for whoever shows how they are.
#[derive(Debug, Clone)]
pub struct Receivers {
    sinks: Arc<[Arc<Shared>]>,
    clock: Clock,
}

impl Receivers {
    /// The health of each receiver, now.
    #[must_use]
    pub fn health(&self) -> Vec<SinkHealth> {
        let now = self.clock.now();
        self.sinks.iter().map(|sink| sink.health(now)).collect()
    }

    /// What each receiver was told about a repository.
    #[must_use]
    pub fn told(&self, repository: &str) -> BTreeMap<String, SinkTold> {
        self.sinks.iter().map(|sink| (sink.name().to_owned(), sink.told(repository))).collect()
    }
}

/// The running receivers. Dropping it stops them; call [`Notifier::flush`] first, and keep [`Notifier::memory`].
#[derive(Debug)]
pub struct Notifier {
    sinks: Vec<Arc<Shared>>,
    clock: Clock,
    /// Stops the tasks when dropped.
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    pub(super) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Notifier {
    /// Starts a task per receiver; must be called within a tokio runtime. A receiver whose settings cannot work is
    /// reported as failing.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let Setup { sinks, mut memory, render, clock, pace, fence } = setup;
        let clock = Clock(clock);
        let mut tasks = JoinSet::new();
        let sinks = sinks.iter().map(|settings| {
            let shared = Arc::new(Shared::new(settings, memory.remove(&settings.name), fence.clone()));
            match settings.open(&pace) {
                Ok(sink) => {
                    let worker = Worker::new(Arc::clone(&shared), sink, clock.clone(), render, pace);
                    tasks.spawn(worker.run());
                }
                Err(failure) => shared.unusable(&failure, clock.now()),
            }
            shared
        });
        let sinks = sinks.collect();
        Self { sinks, clock, _tasks: tasks }
    }

    /// Hands notices to every receiver whose filter accepts them, and returns at once.
    pub fn tell(&self, notices: &[Notice]) {
        let now = self.clock.now();
        self.sinks.iter().for_each(|sink| sink.tell(notices, now));
    }

    /// Passes the incidents that are open now; called after [`Notifier::tell`] in each cycle. A receiver is notified of
    /// incidents it does not know, and of the end of those it wrongly believes to be open. This makes restarts, lost
    /// memory and full queues harmless.
    pub fn firing(&self, open: &[&Notice]) {
        let now = self.clock.now();
        self.sinks.iter().for_each(|sink| sink.firing(open, now));
    }

    /// The health of each receiver.
    #[must_use]
    pub fn health(&self) -> Vec<SinkHealth> {
        self.receivers().health()
    }

    /// A view of the receivers, as they are at any time.
    #[must_use]
    pub fn receivers(&self) -> Receivers {
        Receivers { sinks: self.sinks.iter().map(Arc::clone).collect(), clock: self.clock.clone() }
    }

    /// What to keep across a restart, by receiver.
    #[must_use]
    pub fn memory(&self) -> BTreeMap<String, SinkMemory> {
        self.sinks.iter().map(|sink| (sink.name().to_owned(), sink.memory())).collect()
    }

    /// This replica goes on with a repository, about which another one told the receivers this; `open` are its open
    /// incidents.
    pub fn adopt(&self, repository: &str, told: &BTreeMap<String, SinkTold>, open: &[&Notice]) {
        let nothing = SinkTold::default();
        self.sinks.iter().for_each(|sink| sink.adopt(repository, told.get(sink.name()).unwrap_or(&nothing), open));
    }

    /// Waits, for at most `patience`, until everything that can be sent now has been. Returns how much is left.
    pub async fn flush(&self, patience: Duration) -> usize {
        let idle = join_all(self.sinks.iter().map(|sink| sink.idle()));
        let _in_time = tokio::time::timeout(patience, idle).await.is_ok();
        self.health().iter().map(|sink| sink.waiting).sum()
    }
}

/// The result of testing a receiver.
#[derive(Debug)]
pub struct Tested {
    /// The receiver.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// On success, what was left out, if anything.
    pub result: Result<Option<String>, Failure>,
}

/// Sends a test message to all receivers at the same time.
pub async fn test(sinks: &[SinkSettings], render: Render, now: Timestamp, pace: Pace) -> Vec<Tested> {
    let notice = test_notice(now);
    let texts = render(&notice, now);
    let delivery = Delivery { id: notice.incident.key.id(), notice: &notice, texts: &texts, now };
    let tests = sinks.iter().map(|settings| {
        let delivery = &delivery;
        async move {
            let result = match settings.open(&pace) {
                Ok(sink) => sink.deliver(delivery, &mut SinkMemory::default()).await,
                Err(failure) => Err(failure),
            };
            Tested { name: settings.name.clone(), kind: settings.kind.as_str(), result }
        }
    });
    join_all(tests).await
}

fn test_notice(now: Timestamp) -> Notice {
    let text = |text: &str| text.to_owned();
    Notice {
        kind: NoticeKind::Test,
        at: now,
        incident: Incident {
            key: IncidentKey {
                environment: Some(text("test")),
                cluster: None,
                app: text("landfall"),
                image: text("landfall"),
                version: text("test"),
            },
            repository: text("test"),
            overlay: text("test"),
            policy: None,
            commit: None,
            state: State::Landed,
            rung: None,
            code: None,
            severity: Severity::Info,
            since: now,
            deadline: None,
            affects: std::collections::BTreeSet::new(),
        },
        resolution: None,
        from: Vec::new(),
        cause: text("nothing is wrong; this is a test message"),
        evidence: Vec::new(),
        next: text("nothing"),
        links: Links::default(),
        counts: Counts { overlays: 1, told: 1, suppressed: 0 },
        oscillating: false,
        flapping: false,
    }
}
