//! What was told about a repository, as its Lease carries it to the replica that goes on with it.
//!
//! Promise: the text is bounded. What does not fit is left out, least severe first, and is told once more by the next
//! replica, under the same ids.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::landing::incidents::{Memory, Notified};
use crate::model::Severity;
use crate::notify::{Receivers, SinkTold};

/// Maximum length of the text; all annotations of an object may have 256 KiB.
const MOST: usize = 64 * 1024;

/// What was told about every repository that this replica works for.
#[derive(Debug)]
pub(super) struct LeaseNotices {
    incidents: Mutex<BTreeMap<String, Memory>>,
    receivers: Receivers,
}

/// What was told about one repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NoticesOf {
    pub(super) incidents: Memory,
    /// By receiver.
    pub(super) receivers: BTreeMap<String, SinkTold>,
}

impl LeaseNotices {
    pub(super) fn new(receivers: Receivers) -> Self {
        Self { incidents: Mutex::default(), receivers }
    }

    /// The incidents of a repository are like this now.
    pub(super) fn keep(&self, repository: &str, incidents: Memory) {
        self.all().insert(repository.to_owned(), incidents);
    }

    pub(super) fn forget(&self, repository: &str) {
        self.all().remove(repository);
    }

    /// The text for a repository's Lease; `None`: this replica does not know what was told.
    pub(super) fn text(&self, repository: &str) -> Option<String> {
        let incidents = self.all().get(repository).cloned()?;
        let told = NoticesOf { incidents, receivers: self.receivers.told(repository) };
        fitting(repository, told)
    }

    /// What a text says. One that cannot be read says nothing: open incidents are then told once more.
    pub(super) fn read(repository: &str, text: &str) -> NoticesOf {
        serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::warn!(repository, %error, "what its Lease says about sent notices cannot be read; open incidents are told once more");
            NoticesOf::default()
        })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Memory>> {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text, with as much in it as fits.
fn fitting(repository: &str, mut told: NoticesOf) -> Option<String> {
    let text = |told: &NoticesOf| serde_json::to_string(told).ok();
    let fits = |text: &String| text.len() <= MOST;
    if let Some(text) = text(&told).filter(fits) {
        return Some(text);
    }
    tracing::debug!(
        repository,
        "there is more to say about notices than its Lease can hold; the least of it is left out"
    );
    for notified in &mut told.incidents.told {
        notified.open.iter_mut().for_each(|open| open.notice.evidence.clear());
    }
    told.receivers.values_mut().for_each(|told| told.waiting.clear());
    told.incidents.told.sort_by_key(|told| std::cmp::Reverse(severity(told)));
    loop {
        if let Some(text) = text(&told).filter(fits) {
            return Some(text);
        }
        let left = told.incidents.told.len();
        if left == 0 {
            return text(&NoticesOf::default());
        }
        told.incidents.told.truncate(left / 2);
        let open = |it: &Notified| it.open.is_some();
        let ids: Vec<_> = told.incidents.told.iter().filter(|it| open(it)).map(|it| it.key.id()).collect();
        told.receivers.values_mut().for_each(|told| told.known.retain(|known| ids.contains(&known.id)));
    }
}

fn severity(told: &Notified) -> Option<Severity> {
    told.open.as_ref().map(|open| open.notice.incident.severity)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::landing::incidents::Open;
    use crate::model::{Counts, Incident, IncidentKey, Links, Notice, NoticeKind, State};
    use crate::notify::KnownIncident;

    fn notified(app: &str, severity: Severity) -> Notified {
        let (at, text) = (Timestamp::UNIX_EPOCH, |text: &str| text.to_owned());
        let key = IncidentKey {
            environment: Some(text("prod")),
            cluster: None,
            app: text(app),
            image: text("docker.io/acme/web"),
            version: text("1"),
        };
        let incident = Incident {
            key: key.clone(),
            repository: text("deploys"),
            overlay: text("apps/web"),
            policy: None,
            commit: None,
            state: State::Stuck,
            rung: None,
            code: None,
            severity,
            since: at,
            deadline: None,
            affects: Default::default(),
        };
        let notice = Notice {
            kind: NoticeKind::Raised,
            at,
            incident,
            resolution: None,
            from: Vec::new(),
            cause: "it cannot be pulled. ".repeat(20),
            evidence: vec!["so says the kubelet. ".repeat(40)],
            next: text("look"),
            links: Links::default(),
            counts: Counts::default(),
            oscillating: false,
            flapping: false,
        };
        Notified {
            key,
            open: Some(Open { last: at, codes: [None].into(), notice }),
            raises: vec![at],
            ended: None,
            landed: false,
            landed_with: None,
            missing: None,
            unknown: false,
            seen_again: None,
        }
    }

    fn told(count: usize) -> NoticesOf {
        let severity = |n: usize| if n.is_multiple_of(50) { Severity::Critical } else { Severity::Warning };
        let told: Vec<Notified> = (0..count).map(|n| notified(&format!("app-{n}"), severity(n))).collect();
        let at = Timestamp::UNIX_EPOCH;
        let known = told.iter().map(|it| KnownIncident { id: it.key.id(), at, message: None }).collect();
        let receivers = [("team".to_owned(), SinkTold { known, waiting: Vec::new() })].into();
        NoticesOf { incidents: Memory { as_of: Some(at), told }, receivers }
    }

    #[test]
    fn what_fits_is_all_there_and_what_does_not_is_the_least_of_it() {
        let few = told(10);
        assert_eq!(LeaseNotices::read("deploys", &fitting("deploys", few.clone()).unwrap()), few);
        let text = fitting("deploys", told(1_000)).unwrap();
        let read = LeaseNotices::read("deploys", &text);
        let kept = read.incidents.told.len();
        assert!(text.len() <= MOST && kept >= 20, "{} bytes, {kept} incidents", text.len());
        let critical = read.incidents.told.iter().filter(|told| severity(told) == Some(Severity::Critical)).count();
        assert_eq!(critical, 20, "the worst are among them");
        assert_eq!(read.receivers["team"].known.len(), kept);
        assert_eq!(read.incidents.as_of, Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_text_that_is_none_says_nothing() {
        for text in ["", "{", "[]", "{\"incidents\":3}"] {
            assert_eq!(LeaseNotices::read("deploys", text), NoticesOf::default(), "{text}");
        }
    }
}
