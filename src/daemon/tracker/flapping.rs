//! What goes back and forth in a cluster: an Application that is Synced and OutOfSync in turns at one revision, because its
//! self-heal fights another writer (an autoscaler, an admission webhook, a second controller); an image that is as declared
//! and something else in turns.
//!
//! Each turn by itself is over before anybody would be told of it. Together they are one thing that does not mend by itself:
//! told once, as drift, and over when it has been quiet. A new revision, or another specification, may well be OutOfSync for
//! a while; that is no turn.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use crate::landing::clean;
use crate::model::observation::{Body, Object, Revision};
use crate::model::{BACK_AND_FORTH, Cause, CauseCode, Landing, State};

use super::Row;

/// So many turns ...
const LIMIT: usize = 3;

/// ... within this time go back and forth, ...
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// ... until it has been quiet for so long.
const QUIET: SignedDuration = SignedDuration::from_mins(30);

/// Most turns that are kept of one thing.
const MAX_TURNS: usize = 50;

/// Most lines of what differed.
const MAX_DIFFERS: usize = 4;

/// How something is, in a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlapSample {
    /// What it is remembered by: unique among all clusters.
    key: String,
    /// What a person is told: `Application argocd/web`.
    name: String,
    /// What it was asked to be; a turn is one only where this stays the same.
    asked: String,
    side: Side,
    /// What differs, while something does.
    differs: Vec<String>,
}

/// Which way it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Side {
    /// As it was asked to be.
    Same,
    /// Otherwise.
    Other,
    /// Neither can be said.
    Neither,
}

#[cfg(test)]
impl FlapSample {
    /// Something that is as it was asked to be, or not.
    pub(super) fn new(name: &str, same: bool) -> Self {
        let side = if same { Side::Same } else { Side::Other };
        Self { key: name.to_owned(), name: name.to_owned(), asked: String::new(), side, differs: Vec::new() }
    }
}

impl FlapSample {
    /// How an Application is; `None` for what is none.
    pub(super) fn of_application(cluster: &str, object: &Object) -> Option<Self> {
        let Body::Application(app) = &object.body else { return None };
        let side = match app.sync_status.as_deref() {
            Some("Synced") => Side::Same,
            Some("OutOfSync") => Side::Other,
            _ => Side::Neither,
        };
        let mut hasher = DefaultHasher::new();
        format!("{:?}", app.sources).hash(&mut hasher);
        let revisions: Vec<&str> = app.sync_revisions.iter().map(Revision::as_str).collect();
        let differing = app.resources.iter().flatten().filter(|it| it.status.as_deref() == Some("OutOfSync"));
        let line = |it: &crate::model::observation::ManagedResource| {
            let namespace = it.namespace.as_deref().map_or_else(String::new, |name| format!("{name}/"));
            clean(&format!("{} {namespace}{} is OutOfSync in turns", it.kind, it.name))
        };
        Some(Self {
            key: format!("{cluster} {}", object.key()),
            name: clean(&object.label()),
            asked: format!("{} {:x}", revisions.join(","), hasher.finish()),
            side,
            differs: differing.take(MAX_DIFFERS).map(line).collect(),
        })
    }

    /// How the image of a row is.
    fn of_row(row: &Row) -> Self {
        let (side, differs) = match (row.tracked.landing.state, &row.tracked.landing.cause) {
            (State::Landed, _) => (Side::Same, Vec::new()),
            (State::Drifted, cause) => (Side::Other, cause.iter().map(|cause| cause.message.clone()).collect()),
            _ => (Side::Neither, Vec::new()),
        };
        let name = format!("{} {}", row.tracked.image, row.tracked.declared.version);
        Self { key: row.key(), name, asked: String::new(), side, differs }
    }

    fn sides(&self) -> &'static str {
        if self.name.starts_with("Application ") { "Synced and OutOfSync" } else { "as declared and something else" }
    }
}

/// All that is remembered of what went back and forth.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Flapping(#[serde(serialize_with = "turning")] BTreeMap<String, FlapRecord>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FlapRecord {
    asked: String,
    side: Side,
    /// When it turned away from what it was asked to be.
    turns: Vec<Timestamp>,
    /// What differed the last time.
    differs: Vec<String>,
    looked: Timestamp,
}

/// What never turned away is not worth keeping over a restart.
fn turning<S: Serializer>(flips: &BTreeMap<String, FlapRecord>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(flips.iter().filter(|(_, flip)| !flip.turns.is_empty()))
}

impl Flapping {
    /// Takes in how everything is now, and says of each row whether it goes back and forth.
    pub(super) fn set(&mut self, rows: &mut [Row], now: Timestamp) {
        for row in rows {
            let mut samples = std::mem::take(&mut row.samples);
            if row.tracked.cluster.is_some() {
                samples.push(FlapSample::of_row(row));
            }
            let told = samples.iter().filter_map(|sample| self.take(sample, now)).next();
            if let Some(cause) = told {
                tell(&mut row.tracked.landing, cause);
            }
        }
        self.0.retain(|_, flip| now.duration_since(flip.looked) < WINDOW);
    }

    /// Takes in how one thing is; what to say where it goes back and forth.
    fn take(&mut self, sample: &FlapSample, now: Timestamp) -> Option<Cause> {
        let fresh = || FlapRecord {
            asked: sample.asked.clone(),
            side: sample.side,
            turns: Vec::new(),
            differs: Vec::new(),
            looked: now,
        };
        let flip = self.0.entry(sample.key.clone()).or_insert_with(fresh);
        flip.looked = flip.looked.max(now);
        if sample.side == Side::Other && !sample.differs.is_empty() {
            flip.differs.clone_from(&sample.differs);
        }
        if sample.side != Side::Neither {
            if (flip.side, sample.side) == (Side::Same, Side::Other) && flip.asked == sample.asked {
                flip.turns.push(now);
            }
            flip.side = sample.side;
            flip.asked.clone_from(&sample.asked);
        }
        flip.turns.retain(|at| now.duration_since(*at) < WINDOW);
        if flip.turns.len() > MAX_TURNS {
            flip.turns.remove(0);
        }
        let quiet = flip.turns.last().is_none_or(|last| now.duration_since(*last) >= QUIET);
        (flip.turns.len() >= LIMIT && !quiet).then(|| cause(sample, flip))
    }
}

fn cause(sample: &FlapSample, flip: &FlapRecord) -> Cause {
    let first = flip.turns.first().map_or_else(String::new, |at| format!(" since {at:.0}"));
    let mut evidence = vec![format!("it turned away {} times{first}, without a change in Git", flip.turns.len())];
    evidence.extend(flip.differs.iter().cloned());
    Cause {
        code: CauseCode::Drifted,
        message: format!("{} {BACK_AND_FORTH} {}: two writers fight", sample.name, sample.sides()),
        evidence,
        next: "find the other writer (an autoscaler, an admission webhook, a second controller; `metadata.managedFields` names it) and take the field from one of the two: out of Git, or into `ignoreDifferences`"
            .to_owned(),
    }
}

/// What is worse, or stands still, stays as it is and is told with it.
fn tell(landing: &mut Landing, cause: Cause) {
    match landing.state {
        State::Landed | State::Pending | State::Drifted => {
            *landing = Landing { state: State::Drifted, rung: None, cause: Some(cause) };
        }
        _ => {
            if let Some(other) = &mut landing.cause {
                other.evidence.push(cause.message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap()
    }

    fn sample(asked: &str, side: Side) -> FlapSample {
        let differs =
            if side == Side::Other { vec!["Deployment web/web is OutOfSync in turns".to_owned()] } else { vec![] };
        let name = "Application argocd/web".to_owned();
        FlapSample { key: "eu-1 web".to_owned(), name, asked: asked.to_owned(), side, differs }
    }

    #[test]
    fn turns_at_one_revision_are_told_and_end_when_it_is_quiet() {
        let mut flips = Flapping::default();
        for turn in 0..4 {
            // A restart in between changes nothing.
            flips = serde_json::from_str(&serde_json::to_string(&flips).unwrap()).unwrap();
            assert_eq!(flips.take(&sample("a", Side::Same), at(turn * 4)).is_some(), turn > 2, "turn {turn}");
            // While it is applied, nothing is said.
            assert_eq!(flips.take(&sample("a", Side::Neither), at(turn * 4 + 1)).is_some(), turn > 2, "turn {turn}");
            assert_eq!(flips.take(&sample("a", Side::Other), at(turn * 4 + 2)).is_some(), turn > 1, "turn {turn}");
        }
        let told = flips.take(&sample("a", Side::Same), at(20)).unwrap();
        assert!(told.message.contains("between Synced and OutOfSync"), "{told:?}");
        assert!(told.evidence.iter().any(|line| line.contains("Deployment web/web")), "{told:?}");
        assert!(flips.take(&sample("a", Side::Same), at(14 + 29)).is_some());
        assert!(flips.take(&sample("a", Side::Same), at(14 + 30)).is_none());
    }

    #[test]
    fn an_application_is_seen_with_what_it_was_asked_to_be() {
        let application = |status: &str, revision: &str, image: &str| {
            let object = serde_json::json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": { "name": "web", "namespace": "argocd" },
                "spec": { "source": {
                    "repoURL": "https://git.example.com/a", "path": "web", "kustomize": { "images": [image] },
                } },
                "status": {
                    "sync": { "status": status, "revision": revision },
                    "resources": [
                        { "kind": "Deployment", "namespace": "web", "name": "web", "status": status },
                        { "kind": "Service", "namespace": "web", "name": "web", "status": "Synced" },
                    ],
                },
            });
            FlapSample::of_application("eu-1", &crate::cluster::object::read(&object).unwrap()).unwrap()
        };
        let (commit, other) = ("a".repeat(40), "b".repeat(40));
        let synced = application("Synced", &commit, "web:1");
        let off = application("OutOfSync", &commit, "web:1");
        assert_eq!((synced.side, off.side), (Side::Same, Side::Other));
        assert_eq!((&synced.asked, &synced.key), (&off.asked, &off.key));
        assert_eq!(off.differs, ["Deployment web/web is OutOfSync in turns"]);
        assert_eq!(application("Unknown", &commit, "web:1").side, Side::Neither);
        // A new commit and a new specification are asked for by somebody.
        assert_ne!(application("OutOfSync", &other, "web:1").asked, synced.asked);
        assert_ne!(application("OutOfSync", &commit, "web:2").asked, synced.asked);
    }

    #[test]
    fn new_commits_are_no_turns() {
        let mut flips = Flapping::default();
        for turn in 0..20 {
            let commit = format!("commit {turn}");
            assert_eq!(flips.take(&sample(&commit, Side::Other), at(turn * 2)), None);
            assert_eq!(flips.take(&sample(&commit, Side::Same), at(turn * 2 + 1)), None);
        }
    }

    #[test]
    fn what_is_off_all_the_time_turns_once() {
        let mut flips = Flapping::default();
        assert_eq!(flips.take(&sample("a", Side::Same), at(0)), None);
        for minute in 1..200 {
            assert_eq!(flips.take(&sample("a", Side::Other), at(minute)), None, "minute {minute}");
        }
        assert!(flips.0["eu-1 web"].turns.is_empty());
    }

    #[test]
    fn what_is_stuck_stays_stuck_and_says_it_too() {
        let cause = |message: &str| Cause {
            code: CauseCode::CrashLoop,
            message: message.to_owned(),
            evidence: Vec::new(),
            next: String::new(),
        };
        let mut landing = Landing { state: State::Stuck, rung: None, cause: Some(cause("it crashes")) };
        tell(&mut landing, cause("back and forth"));
        assert_eq!((landing.state, landing.cause.unwrap().evidence), (State::Stuck, vec!["back and forth".to_owned()]));
        let mut landing = Landing { state: State::Landed, rung: None, cause: None };
        tell(&mut landing, cause("back and forth"));
        assert_eq!((landing.state, landing.cause.unwrap().message), (State::Drifted, "back and forth".to_owned()));
    }
}
