//! A scene: images that are tracked, the incidents made of them, and receivers that are told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use landfall::config;
use landfall::landing::incidents::{Incidents, Rules, step};
use landfall::message;
use landfall::model::{
    Cause, CauseCode, CommitId, Declared, Fence, ImageName, Landing, NoticeKind, Rung, State, Tag, Tracked,
    TrackedThing, UpdateId, Version,
};
use landfall::notify::{Filter, Landings, Mute, Notifier, Pace, Render, Setup, SinkHealth, SinkMemory, SinkSettings};

use crate::support::process::PATIENCE;

pub(super) const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(super) const PULL: &str = "https://github.com/acme/deploys/pull/7";

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_600_000 + seconds).unwrap()
}

/// `app` to 1.4.0 in prod on eu-1.
pub(super) fn row(app: &str, state: State, code: Option<CauseCode>) -> Tracked {
    let version = |tag: &str| Version { tag: Some(Tag::parse(tag).unwrap()), digest: None };
    let cause = code.map(|code| Cause {
        code,
        blame: code.blame(),
        message: format!("{app} says {code}"),
        evidence: vec![format!("pod {app}-1: {code}")],
        next: "look at the pod".to_owned(),
    });
    Tracked {
        id: UpdateId::parse("0123456789abcdef").unwrap(),
        thing: TrackedThing::Image,
        repository: "deploys".to_owned(),
        overlay: format!("apps/{app}/overlays/prod"),
        app: app.to_owned(),
        environment: Some("prod".to_owned()),
        policy: Some("prod".to_owned()),
        cluster: Some("eu-1".to_owned()),
        image: ImageName::parse(&format!("ghcr.io/acme/{app}")).unwrap(),
        declared: Declared {
            version: version("1.4.0"),
            commit: Some(CommitId::parse(COMMIT).unwrap()),
            since: Some(at(0)),
            by: None,
        },
        live: vec![version("1.3.0")],
        landing: Landing { state, rung: Some(Rung::Running), cause },
        since: None,
        deadline: None,
        pull_request: Some(PULL.to_owned()),
        notes: Vec::new(),
        flapping: false,
        unseen: false,
        affects: std::collections::BTreeSet::new(),
    }
}

pub(super) fn stuck(app: &str) -> Tracked {
    row(app, State::Stuck, Some(CauseCode::CrashLoop))
}

/// The same, worse: nothing of it runs.
pub(super) fn dead(app: &str) -> Tracked {
    Tracked { live: Vec::new(), ..stuck(app) }
}

pub(super) fn landed(app: &str) -> Tracked {
    row(app, State::Landed, None)
}

pub(super) fn pending(app: &str) -> Tracked {
    row(app, State::Pending, None)
}

/// A receiver with these keys in the configuration, where secrets are `{ env: NAME }`; it is told everything but landings.
pub(super) fn sink(name: &str, keys: &str, secrets: &[(&str, &str)]) -> SinkSettings {
    sink_at("https://api.github.com", name, keys, secrets)
}

/// The same, where the repository's forge is GitHub at this address, with the token `TOKEN`.
pub(super) fn sink_at(api_url: &str, name: &str, keys: &str, secrets: &[(&str, &str)]) -> SinkSettings {
    let forge = format!("{{ kind: github, apiUrl: '{api_url}', repository: acme/deploys, token: {{ env: TOKEN }} }}");
    sink_on(&forge, name, keys, secrets)
}

/// The same, with another forge of the repository.
pub(super) fn sink_on(forge: &str, name: &str, keys: &str, secrets: &[(&str, &str)]) -> SinkSettings {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("landfall.yaml");
    let repository = format!("{{ name: deploys, url: 'https://git.example.com/deploys.git', forge: {forge} }}");
    std::fs::write(&path, format!("repositories: [{repository}]\nnotify: [{{ name: {name}, {keys} }}]\n")).unwrap();
    let settings = config::load(&path).unwrap_or_else(|error| panic!("{}", error.render(false))).settings;
    let secrets: BTreeMap<String, String> = secrets.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let environment = config::Environment::from_fn(move |name| secrets.get(name).cloned());
    let sink = landfall::daemon::sinks(&settings, &environment).unwrap().remove(0);
    SinkSettings { filter: Filter::default(), mute: Mute::never(), ..sink }
}

pub(super) fn with_landings(mut sink: SinkSettings) -> SinkSettings {
    sink.filter.landings = Landings::Notified;
    sink
}

pub(super) fn webhook(name: &str, url: &str) -> SinkSettings {
    sink(name, &format!("kind: webhook, url: '{url}'"), &[])
}

pub(super) fn slack(url: &str) -> SinkSettings {
    sink("slack", "kind: slack, webhookUrl: { env: URL }", &[("URL", &format!("{url}/services/T0/B0/s3cret"))])
}

/// Short pauses; time limits that a busy machine does not meet.
pub(super) fn quick() -> Pace {
    Pace {
        request: Duration::from_secs(60),
        notice: Duration::from_secs(120),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        repeat: Duration::from_secs(3_600),
    }
}

pub(super) struct Scene {
    pub(super) notifier: Notifier,
    pub(super) rules: Rules,
    pub(super) incidents: Incidents,
    clock: Arc<Mutex<Timestamp>>,
    sinks: Vec<SinkSettings>,
    pace: Pace,
    render: Render,
}

impl Scene {
    pub(super) fn new(sinks: Vec<SinkSettings>) -> Self {
        Self::paced(sinks, quick())
    }

    pub(super) fn paced(sinks: Vec<SinkSettings>, pace: Pace) -> Self {
        Self::made(sinks, pace, message::alert)
    }

    /// With sentences made by somebody else.
    pub(super) fn rendered(sinks: Vec<SinkSettings>, render: Render) -> Self {
        Self::made(sinks, quick(), render)
    }

    fn made(sinks: Vec<SinkSettings>, pace: Pace, render: Render) -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let clock = Arc::new(Mutex::new(at(0)));
        let notifier = start(&sinks, &clock, BTreeMap::new(), (pace, Fence::open()), render);
        let rules = Rules::new(Duration::from_secs(60));
        Self { notifier, rules, incidents: Incidents::default(), clock, sinks, pace, render }
    }

    /// Another process, which asks this before each notice.
    pub(super) fn fence(&mut self, fence: Fence) {
        self.notifier = start(&self.sinks, &self.clock, BTreeMap::new(), (self.pace, fence), self.render);
    }

    /// Another process with what was kept, or without.
    pub(super) fn restart(&mut self, memory: BTreeMap<String, SinkMemory>) {
        self.notifier = start(&self.sinks, &self.clock, memory, (self.pace, Fence::open()), self.render);
    }

    pub(super) fn now(&self) -> Timestamp {
        *self.clock.lock().unwrap()
    }

    pub(super) fn pass(&self, seconds: i64) {
        let mut now = self.clock.lock().unwrap();
        *now = now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    /// One cycle, a minute after the last; nobody is waited for.
    pub(super) fn cycle(&mut self, rows: &[Tracked]) -> Vec<NoticeKind> {
        self.pass(60);
        let (next, notices) = step(&self.incidents, rows, &self.rules, self.now());
        self.incidents = next;
        self.notifier.tell(&notices);
        self.notifier.firing(&self.incidents.open());
        notices.iter().map(|notice| notice.kind).collect()
    }

    /// One cycle, and until everybody has been told.
    pub(super) async fn look(&mut self, rows: &[Tracked]) {
        self.cycle(rows);
        assert_eq!(self.notifier.flush(PATIENCE).await, 0, "{:?}", self.notifier.health());
    }

    /// Waits until this is so.
    pub(super) async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        assert!(found.is_ok(), "never: {what}; {:?}", self.notifier.health());
    }

    pub(super) fn health(&self, name: &str) -> SinkHealth {
        self.notifier.health().into_iter().find(|health| health.name == name).unwrap()
    }
}

fn start(
    sinks: &[SinkSettings],
    clock: &Arc<Mutex<Timestamp>>,
    memory: BTreeMap<String, SinkMemory>,
    (pace, fence): (Pace, Fence),
    render: Render,
) -> Notifier {
    let clock = Arc::clone(clock);
    let clock = Arc::new(move || *clock.lock().unwrap());
    Notifier::start(Setup { sinks: sinks.to_vec(), memory, render, clock, pace, fence })
}
