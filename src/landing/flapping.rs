//! Flapping: an Application that alternates between Synced and OutOfSync at one revision, because its self-heal fights
//! another writer (an autoscaler, an admission webhook, a second controller); or an image that alternates between the
//! declared version and another one.
//!
//! Each flip is over before anybody would be notified of it. Together they are one problem that will not go away on its
//! own: it is reported once, as drift, and ends after a quiet period. After a new revision or a changed specification,
//! an Application may be OutOfSync for a while; that is not a flip.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use crate::model::observation::{Body, ManagedResource, Object, Revision};
use crate::model::{Cause, CauseCode, Landing, State};

use super::clean;
use super::row::{PlaceKey, Row};

/// This many flips ...
const LIMIT: usize = 3;

/// ... within this time are flapping ...
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// ... until it has been quiet for this long.
const QUIET: SignedDuration = SignedDuration::from_mins(30);

/// Maximum number of flips kept for one thing.
const MAX_FLIPS: usize = 50;

/// Maximum number of differences kept as evidence.
const MAX_DIFFERS: usize = 4;

/// The state of one thing that may flap, in one pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlapSample {
    /// What it is remembered by; unique across all clusters.
    key: PlaceKey,
    what: Flapper,
    /// What a person reads: `Application argocd/web`.
    name: String,
    /// The desired state; a flip counts only while this stays the same.
    asked: String,
    side: Side,
    /// What differs from the desired state, if anything.
    differs: Vec<String>,
}

/// What may flap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flapper {
    Application,
    Image,
}

/// Which state it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Side {
    /// The desired state.
    Same,
    /// Another state.
    Other,
    /// Unknown.
    Neither,
}

impl FlapSample {
    /// A sample of an Application; `None` for any other object.
    #[must_use]
    pub fn of_application(cluster: &str, object: &Object) -> Option<Self> {
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
        let line = |it: &ManagedResource| {
            let namespace = it.namespace.as_deref().map_or_else(String::new, |name| format!("{name}/"));
            clean(&format!("{} {namespace}{} keeps going OutOfSync", it.kind, it.name))
        };
        Some(Self {
            key: PlaceKey::of([cluster, &object.key().to_string()]),
            what: Flapper::Application,
            name: clean(&object.label()),
            asked: format!("{} {:x}", revisions.join(","), hasher.finish()),
            side,
            differs: differing.take(MAX_DIFFERS).map(line).collect(),
        })
    }

    /// A sample of the image of a row.
    fn of_row(row: &Row) -> Self {
        let (side, differs) = match (row.tracked.landing.state, &row.tracked.landing.cause) {
            (State::Landed, _) => (Side::Same, Vec::new()),
            (State::Drifted, cause) => (Side::Other, cause.iter().map(|cause| cause.message.clone()).collect()),
            _ => (Side::Neither, Vec::new()),
        };
        let name = format!("{} {}", row.tracked.image, row.tracked.declared.version);
        Self { key: row.key(), what: Flapper::Image, name, asked: String::new(), side, differs }
    }
}

/// The remembered flips, by what they belong to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flapping(#[serde(serialize_with = "only_with_flips")] BTreeMap<PlaceKey, FlapRecord>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FlapRecord {
    asked: String,
    side: Side,
    /// When it left the desired state.
    #[serde(rename = "turns")]
    flips: Vec<Timestamp>,
    /// What differed last time.
    differs: Vec<String>,
    looked: Timestamp,
}

/// Records without flips are not worth keeping across a restart.
fn only_with_flips<S: Serializer>(records: &BTreeMap<PlaceKey, FlapRecord>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(records.iter().filter(|(_, record)| !record.flips.is_empty()))
}

impl Flapping {
    /// Records a sample of everything, and marks each row that flaps.
    pub fn set(&mut self, rows: &mut [Row], now: Timestamp) {
        for row in rows {
            let of_row = row.tracked.cluster.is_some().then(|| FlapSample::of_row(row));
            let causes: Vec<Cause> =
                row.samples.iter().chain(&of_row).filter_map(|sample| self.take(sample, now)).collect();
            if let Some(cause) = causes.into_iter().next() {
                row.tracked.flapping = true;
                mark(&mut row.tracked.landing, cause);
            }
        }
        self.0.retain(|_, record| now.duration_since(record.looked) < WINDOW);
    }

    /// Records one sample. Returns the cause to report if it flaps.
    fn take(&mut self, sample: &FlapSample, now: Timestamp) -> Option<Cause> {
        let fresh = || FlapRecord {
            asked: sample.asked.clone(),
            side: sample.side,
            flips: Vec::new(),
            differs: Vec::new(),
            looked: now,
        };
        let record = self.0.entry(sample.key.clone()).or_insert_with(fresh);
        record.looked = record.looked.max(now);
        if sample.side == Side::Other && !sample.differs.is_empty() {
            record.differs.clone_from(&sample.differs);
        }
        if sample.side != Side::Neither {
            if (record.side, sample.side) == (Side::Same, Side::Other) && record.asked == sample.asked {
                record.flips.push(now);
            }
            record.side = sample.side;
            record.asked.clone_from(&sample.asked);
        }
        record.flips.retain(|at| now.duration_since(*at) < WINDOW);
        if record.flips.len() > MAX_FLIPS {
            record.flips.remove(0);
        }
        let quiet = record.flips.last().is_none_or(|last| now.duration_since(*last) >= QUIET);
        (record.flips.len() >= LIMIT && !quiet).then(|| cause(sample, record))
    }
}

fn cause(sample: &FlapSample, record: &FlapRecord) -> Cause {
    let first = record.flips.first().map_or_else(String::new, |at| format!(" since {at:.0}"));
    let mut evidence =
        vec![format!("it left the declared state {} times{first} without a change in Git", record.flips.len())];
    evidence.extend(record.differs.iter().cloned());
    let sides = match sample.what {
        Flapper::Application => "Synced and OutOfSync",
        Flapper::Image => "the declared version and something else",
    };
    Cause {
        code: CauseCode::Drifted,
        blame: CauseCode::Drifted.blame(),
        message: format!("{} is flapping between {sides}: two writers fight over it", sample.name),
        evidence,
        next: "find the other writer (an autoscaler, an admission webhook, a second controller; `metadata.managedFields` names it) and let only one of the two set the field: remove it from Git, or list it in `ignoreDifferences`"
            .to_owned(),
    }
}

/// Marks a flapping landing as drifted. One that is worse, or paused, keeps its state and gets the cause as evidence.
fn mark(landing: &mut Landing, cause: Cause) {
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
    use crate::landing::row::RowSubject;
    use crate::model::{BranchName, ImageName, Tag, UpdateId, Version};
    use crate::plan::Declared;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap()
    }

    fn sample(asked: &str, side: Side) -> FlapSample {
        let differs =
            if side == Side::Other { vec!["Deployment web/web keeps going OutOfSync".to_owned()] } else { vec![] };
        let name = "Application argocd/web".to_owned();
        FlapSample {
            key: PlaceKey::of(["eu-1", "web"]),
            what: Flapper::Application,
            name,
            asked: asked.to_owned(),
            side,
            differs,
        }
    }

    #[test]
    fn turns_at_one_revision_are_told_and_end_when_it_is_quiet() {
        let mut flapping = Flapping::default();
        for turn in 0..4 {
            // A restart in between changes nothing.
            flapping = serde_json::from_str(&serde_json::to_string(&flapping).unwrap()).unwrap();
            assert_eq!(flapping.take(&sample("a", Side::Same), at(turn * 4)).is_some(), turn > 2, "turn {turn}");
            // While it is applied, nothing is said.
            assert_eq!(flapping.take(&sample("a", Side::Neither), at(turn * 4 + 1)).is_some(), turn > 2, "turn {turn}");
            assert_eq!(flapping.take(&sample("a", Side::Other), at(turn * 4 + 2)).is_some(), turn > 1, "turn {turn}");
        }
        let told = flapping.take(&sample("a", Side::Same), at(20)).unwrap();
        assert!(told.message.contains("flapping between Synced and OutOfSync"), "{told:?}");
        assert!(told.evidence.iter().any(|line| line.contains("Deployment web/web")), "{told:?}");
        assert!(flapping.take(&sample("a", Side::Same), at(14 + 29)).is_some());
        assert!(flapping.take(&sample("a", Side::Same), at(14 + 30)).is_none());
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
        assert_eq!(off.differs, ["Deployment web/web keeps going OutOfSync"]);
        assert_eq!(application("Unknown", &commit, "web:1").side, Side::Neither);
        // A new commit and a new specification are asked for by somebody.
        assert_ne!(application("OutOfSync", &other, "web:1").asked, synced.asked);
        assert_ne!(application("OutOfSync", &commit, "web:2").asked, synced.asked);
    }

    #[test]
    fn new_commits_are_no_turns() {
        let mut flapping = Flapping::default();
        for turn in 0..20 {
            let commit = format!("commit {turn}");
            assert_eq!(flapping.take(&sample(&commit, Side::Other), at(turn * 2)), None);
            assert_eq!(flapping.take(&sample(&commit, Side::Same), at(turn * 2 + 1)), None);
        }
    }

    #[test]
    fn what_is_off_all_the_time_turns_once() {
        let mut flapping = Flapping::default();
        assert_eq!(flapping.take(&sample("a", Side::Same), at(0)), None);
        for minute in 1..200 {
            assert_eq!(flapping.take(&sample("a", Side::Other), at(minute)), None, "minute {minute}");
        }
        assert!(flapping.0[&PlaceKey::of(["eu-1", "web"])].flips.is_empty());
    }

    #[test]
    fn what_is_stuck_stays_stuck_and_says_it_too() {
        let cause = |message: &str| Cause {
            code: CauseCode::CrashLoop,
            blame: CauseCode::CrashLoop.blame(),
            message: message.to_owned(),
            evidence: Vec::new(),
            next: String::new(),
        };
        let mut landing = Landing { state: State::Stuck, rung: None, cause: Some(cause("it crashes")) };
        mark(&mut landing, cause("back and forth"));
        assert_eq!((landing.state, landing.cause.unwrap().evidence), (State::Stuck, vec!["back and forth".to_owned()]));
        let mut landing = Landing { state: State::Landed, rung: None, cause: None };
        mark(&mut landing, cause("back and forth"));
        assert_eq!((landing.state, landing.cause.unwrap().message), (State::Drifted, "back and forth".to_owned()));
    }

    #[test]
    fn a_flapping_row_is_one_state_until_it_is_quiet() {
        let (branch, image) = (BranchName::parse("main").unwrap(), ImageName::parse("ghcr.io/acme/web").unwrap());
        let version = Version { tag: Some(Tag::parse("1.0.0").unwrap()), digest: None };
        let declared = Declared {
            id: UpdateId::of(&branch, "apps/web", "prod", &image, &version),
            app: "web".to_owned(),
            environment: Some("prod".to_owned()),
            policy: None,
            overlay: "apps/web".to_owned(),
            name: image,
            version,
            pins: Vec::new(),
            land_within: None,
        };
        let landed = || Landing { state: State::Landed, rung: None, cause: None };
        let mut flapping = Flapping::default();
        let mut states = Vec::new();
        for minute in 0..60 {
            // Every other minute it is OutOfSync, for half an hour.
            let side = if minute >= 30 || minute % 2 == 0 { Side::Same } else { Side::Other };
            let tracked = Row::declared("deploys", &declared, Some("eu-1"), landed());
            let mut rows = [Row::new(tracked, RowSubject::Declared, None)];
            rows[0].samples = vec![sample("a", side)];
            flapping.set(&mut rows, at(minute));
            states.push((rows[0].tracked.landing.state, rows[0].tracked.flapping));
        }
        // The third turn is at minute 5, the last one at 29.
        let expected = |minute: usize| match (5..59).contains(&minute) {
            true => (State::Drifted, true),
            false => (State::Landed, false),
        };
        assert_eq!(states, (0..60).map(expected).collect::<Vec<_>>());
    }
}
