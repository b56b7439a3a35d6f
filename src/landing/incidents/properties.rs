//! Random histories: what must hold whatever happens, in whatever order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::tests::{row, rules};
use super::*;
use crate::model::{Cause, NoticeKind};

const STATES: [State; 11] = [
    State::Pending,
    State::Landed,
    State::Stuck,
    State::Superseded,
    State::RolledBack,
    State::Rejected,
    State::Drifted,
    State::Shadowed,
    State::Orphan,
    State::Paused,
    State::Unknown,
];
const CODES: [CauseCode; 3] = [CauseCode::CrashLoop, CauseCode::Authentication, CauseCode::Stale];

/// What happens to each of three images until the next pass: it stays (`None`), goes (an index past the states), or
/// changes its state and cause.
type Change = [Option<(usize, usize)>; 3];

fn history() -> impl Strategy<Value = Vec<(Change, u64, bool)>> {
    let change = proptest::option::of((0..STATES.len() + 1, 0..CODES.len()));
    let changes = [change.clone(), change.clone(), change];
    // Seconds until the next pass: often a few minutes, sometimes a day.
    let wait = prop_oneof![4 => 1u64..600, 1 => 600u64..100_000];
    proptest::collection::vec((changes, wait, any::<bool>()), 1..40)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap()
}

/// The rows of every pass. A state begins just before the pass that sees it.
fn rows(history: &[(Change, u64, bool)]) -> Vec<(Timestamp, Vec<Tracked>, bool)> {
    let mut now = 1_000;
    let mut current: [Option<Tracked>; 3] = [None, None, None];
    let mut looks = Vec::new();
    for (changes, wait, restart) in history {
        now += wait;
        for (app, change) in changes.iter().enumerate() {
            let Some((state, code)) = change else { continue };
            current[app] = STATES.get(*state).map(|state| {
                let mut row = row(*state, now);
                row.app = format!("app-{app}");
                row.deadline = Some(at(20_000));
                let cause = |code| Cause {
                    code,
                    message: String::new(),
                    evidence: Vec::new(),
                    next: String::new(),
                    blame: code.blame(),
                };
                row.landing.cause = (*state != State::Landed).then(|| cause(CODES[*code]));
                row
            });
        }
        looks.push((at(now), current.iter().flatten().cloned().collect(), *restart));
    }
    looks
}

fn kept(incidents: &Incidents) -> Incidents {
    let text = serde_json::to_string(&incidents.memory()).unwrap();
    Incidents::from(serde_json::from_str::<Memory>(&text).unwrap())
}

proptest! {
    #[test]
    fn raised_and_resolved_take_turns_and_all_that_lands_is_over(history in history()) {
        let rules = rules();
        let mut incidents = Incidents::default();
        let mut open: BTreeMap<IncidentKey, u32> = BTreeMap::new();
        let mut looks = rows(&history);
        let (last, _, _) = looks[looks.len() - 1];
        // In the end all are healthy, for long enough.
        let well = (0..3).map(|app| Tracked { app: format!("app-{app}"), ..row(State::Landed, 200_000_000) });
        let well: Vec<_> = well.map(|row| Tracked { since: Some(last), ..row }).collect();
        let later = |hours: i64| last + jiff::SignedDuration::from_hours(hours);
        looks.extend([1, 2].map(|hours| (later(hours), well.clone(), false)));
        for (now, rows, _) in looks {
            let (next, notices) = step(&incidents, &rows, &rules, now);
            let (again, silence) = step(&next, &rows, &rules, now);
            prop_assert_eq!(&again, &next);
            prop_assert_eq!(silence, vec![]);
            for notice in &notices {
                let count = open.entry(notice.incident.key.clone()).or_default();
                match notice.kind {
                    NoticeKind::Raised => { prop_assert_eq!(*count, 0); *count = 1; }
                    NoticeKind::Resolved => { prop_assert_eq!(*count, 1); *count = 0; }
                    NoticeKind::Escalated | NoticeKind::Reminder => prop_assert_eq!(*count, 1),
                    NoticeKind::Landed | NoticeKind::Test => {}
                }
            }
            let known: u32 = open.values().sum();
            prop_assert_eq!(known as usize, next.open().len(), "what is open was told, and what was told is open");
            incidents = next;
        }
        prop_assert!(incidents.open().is_empty());
    }

    #[test]
    fn a_restart_changes_nothing(history in history()) {
        let rules = rules();
        let (mut steady, mut restarted) = (Incidents::default(), Incidents::default());
        for (now, rows, restart) in rows(&history) {
            let (next, told) = step(&steady, &rows, &rules, now);
            if restart {
                restarted = kept(&restarted);
            }
            let (other, told_there) = step(&restarted, &rows, &rules, now);
            let words = |told: &[Notice]| {
                told.iter().map(|n| (n.incident.key.clone(), n.kind, n.incident.code, n.incident.severity)).collect::<Vec<_>>()
            };
            prop_assert_eq!(words(&told), words(&told_there));
            prop_assert_eq!(&next.memory().told, &other.memory().told);
            (steady, restarted) = (next, other);
        }
    }

    #[test]
    fn a_lost_store_repeats_what_is_open_and_nothing_else(history in history()) {
        let rules = rules();
        let mut incidents = Incidents::default();
        let mut last = None;
        for (now, rows, _) in rows(&history) {
            incidents = step(&incidents, &rows, &rules, now).0;
            last = Some((now, rows));
        }
        if let Some((now, rows)) = last {
            let (_, told) = step(&Incidents::default(), &rows, &rules, now);
            prop_assert!(told.iter().all(|notice| notice.kind == NoticeKind::Raised));
            let repeated: Vec<_> = told.iter().map(|notice| &notice.incident.key).collect();
            let judged = |row: &&Tracked| matches!(row.landing.state, State::Stuck);
            for row in rows.iter().filter(judged) {
                prop_assert!(repeated.contains(&&IncidentKey::of(row)));
            }
        }
    }
}
