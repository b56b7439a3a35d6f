//! The notices not yet delivered to one receiver: at most one per incident, with its current state.
//!
//! After an outage, a receiver gets the current state and not what it missed. Pure; the bounds hold for any input.

use std::collections::VecDeque;

use indexmap::IndexMap;

use crate::model::{IncidentId, Notice, NoticeKind};

/// Maximum number of incidents waiting.
const MAX_INCIDENTS: usize = 1_000;
/// Maximum number of landings waiting; these are events, not state.
const MAX_LANDINGS: usize = 200;

/// The waiting notices.
#[derive(Debug, Default)]
pub(super) struct Queue {
    incidents: IndexMap<IncidentId, Notice>,
    landings: VecDeque<Notice>,
    pub(super) dropped: u64,
}

/// Whether alerts may be taken, or only resolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taking {
    All,
    OnlyOver,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.incidents.len() + self.landings.len()
    }

    /// Whether adding another incident would evict one.
    pub(super) fn is_full(&self) -> bool {
        self.incidents.len() >= MAX_INCIDENTS
    }

    pub(super) fn get(&self, id: &IncidentId) -> Option<&Notice> {
        self.incidents.get(id)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Notice> {
        self.incidents.values().chain(&self.landings)
    }

    /// Adds a notice behind those already waiting.
    pub(super) fn add(&mut self, notice: Notice) {
        if notice.kind == NoticeKind::Landed {
            self.landings.push_back(notice);
            if self.landings.len() > MAX_LANDINGS {
                self.landings.pop_front();
                self.dropped += 1;
            }
            return;
        }
        let id = notice.incident.key.id();
        let merged = match self.incidents.shift_remove(&id) {
            Some(before) => merge(&before, notice),
            None => Some(notice),
        };
        if let Some(merged) = merged {
            self.incidents.insert(id, merged);
        }
        if self.incidents.len() > MAX_INCIDENTS {
            // An open incident is offered again once there is room.
            let least = self.incidents.iter().enumerate().min_by_key(|(_, (_, notice))| rank(notice)).map(|(at, _)| at);
            if let Some(at) = least {
                self.incidents.shift_remove_index(at);
                self.dropped += 1;
            }
        }
    }

    /// Puts back a notice that could not be delivered; notices added in the meantime come after it.
    pub(super) fn put_back(&mut self, notice: Notice) {
        if notice.kind == NoticeKind::Landed {
            self.landings.push_front(notice);
            return;
        }
        match self.incidents.shift_remove(&notice.incident.key.id()) {
            None => self.add(notice),
            Some(newer) => {
                let id = notice.incident.key.id();
                if let Some(merged) = merge(&notice, newer) {
                    self.incidents.insert(id, merged);
                }
            }
        }
    }

    /// Drops what is about this repository.
    pub(super) fn forget(&mut self, repository: &str) {
        self.incidents.retain(|_, notice| notice.incident.repository != repository);
        self.landings.retain(|notice| notice.incident.repository != repository);
    }

    /// Takes the most urgent notice of those that may go out now: resolutions first, so that nobody works on them, then the
    /// most severe, landings last.
    pub(super) fn take(&mut self, taking: Taking, held: impl Fn(&Notice) -> bool) -> Option<Notice> {
        let may = |notice: &Notice| (taking == Taking::All || notice.kind == NoticeKind::Resolved) && held(notice);
        let allowed = self.incidents.iter().enumerate().filter(|(_, (_, notice))| may(notice));
        let first = allowed.max_by_key(|(at, (_, notice))| (rank(notice), std::cmp::Reverse(*at))).map(|(at, _)| at);
        match first {
            Some(at) => self.incidents.shift_remove_index(at).map(|(_, notice)| notice),
            None if taking == Taking::All => {
                let first = self.landings.iter().position(held);
                first.and_then(|at| self.landings.remove(at))
            }
            None => None,
        }
    }
}

fn rank(notice: &Notice) -> (bool, crate::model::Severity) {
    (notice.kind == NoticeKind::Resolved, notice.incident.severity)
}

/// Merges two notices of one incident, of which the first was not delivered. `None` if the whole incident came and went
/// undelivered.
fn merge(before: &Notice, after: Notice) -> Option<Notice> {
    use NoticeKind as K;
    let kind = match (before.kind, after.kind) {
        (K::Raised, K::Resolved) => return None,
        (K::Raised, _) => K::Raised,
        // Known as open, then resolved, then open again: it is open, in a different state.
        (K::Resolved, K::Raised) => K::Escalated,
        (K::Escalated, K::Reminder) => K::Escalated,
        (_, kind) => kind,
    };
    Some(Notice { kind, ..after })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Counts, Incident, IncidentKey, Links, Severity, State};

    fn notice(kind: NoticeKind, app: &str, severity: Severity) -> Notice {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let key = IncidentKey {
            environment: None,
            cluster: None,
            app: app.to_owned(),
            image: "docker.io/acme/web".to_owned(),
            version: "1".to_owned(),
        };
        let incident = Incident {
            key,
            repository: String::new(),
            overlay: String::new(),
            policy: None,
            commit: None,
            state: State::Stuck,
            rung: None,
            code: None,
            severity,
            since: at,
            deadline: None,
            affects: std::collections::BTreeSet::new(),
        };
        Notice {
            kind,
            at,
            incident,
            resolution: None,
            from: Vec::new(),
            cause: String::new(),
            evidence: Vec::new(),
            next: String::new(),
            links: Links::default(),
            counts: Counts::default(),
            oscillating: false,
            flapping: false,
        }
    }

    #[test]
    fn what_waits_says_how_it_stands_now() {
        use NoticeKind as K;
        for (untold, expected) in [
            (&[K::Raised, K::Escalated][..], Some(K::Raised)),
            (&[K::Raised, K::Escalated, K::Reminder], Some(K::Raised)),
            (&[K::Raised, K::Resolved], None),
            (&[K::Raised, K::Resolved, K::Raised], Some(K::Raised)),
            (&[K::Escalated, K::Reminder], Some(K::Escalated)),
            (&[K::Reminder, K::Escalated], Some(K::Escalated)),
            (&[K::Escalated, K::Resolved], Some(K::Resolved)),
            (&[K::Resolved, K::Raised], Some(K::Escalated)),
            (&[K::Resolved, K::Raised, K::Resolved], Some(K::Resolved)),
        ] {
            let mut queue = Queue::default();
            untold.iter().for_each(|kind| queue.add(notice(*kind, "web", Severity::Error)));
            assert_eq!(queue.take(Taking::All, |_| true).map(|notice| notice.kind), expected, "{untold:?}");
            // The same, where the first one was on its way and came back.
            let mut queue = Queue::default();
            untold[1..].iter().for_each(|kind| queue.add(notice(*kind, "web", Severity::Error)));
            queue.put_back(notice(untold[0], "web", Severity::Error));
            let back = queue.take(Taking::All, |_| true).map(|notice| notice.kind);
            assert_eq!(back.is_some(), expected.is_some(), "{untold:?}: {back:?}");
        }
    }

    #[test]
    fn urgent_things_first() {
        use NoticeKind as K;
        let mut queue = Queue::default();
        queue.add(notice(K::Landed, "landed", Severity::Info));
        queue.add(notice(K::Raised, "warning", Severity::Warning));
        queue.add(notice(K::Raised, "critical", Severity::Critical));
        queue.add(notice(K::Raised, "critical-2", Severity::Critical));
        queue.add(notice(K::Resolved, "over", Severity::Info));
        let mut taken = Vec::new();
        while let Some(notice) = queue.take(Taking::All, |_| true) {
            taken.push(notice.incident.key.app);
        }
        assert_eq!(taken, ["over", "critical", "critical-2", "warning", "landed"]);
        queue.add(notice(K::Raised, "muted", Severity::Critical));
        queue.add(notice(K::Landed, "muted", Severity::Info));
        assert_eq!(queue.take(Taking::OnlyOver, |_| true), None);
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn it_is_bounded_and_keeps_the_worst() {
        let mut queue = Queue::default();
        queue.add(notice(NoticeKind::Raised, "worst", Severity::Critical));
        for n in 0..5_000 {
            queue.add(notice(NoticeKind::Raised, &format!("a{n}"), Severity::Warning));
            queue.add(notice(NoticeKind::Landed, &format!("a{n}"), Severity::Info));
        }
        assert_eq!(queue.len(), MAX_INCIDENTS + MAX_LANDINGS);
        assert_eq!(queue.dropped, 10_001 - queue.len() as u64);
        assert_eq!(queue.take(Taking::All, |_| true).unwrap().incident.key.app, "worst");
    }
}
