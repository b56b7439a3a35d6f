//! What a receiver has been notified of, so that it is not notified twice and can be notified of the end.
//!
//! Losing it is safe: open incidents are sent once more, under the same ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{IncidentId, Notice, NoticeKind};

/// Maximum number of remembered items of each kind, besides open incidents.
const MAX_RECENT: usize = 500;

/// The memory of one receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SinkMemory {
    /// The open incidents it was notified of.
    #[serde(rename = "told")]
    pub notified: BTreeMap<IncidentId, Arc<NotifiedHere>>,
    /// Notices not delivered yet.
    pub waiting: Vec<Notice>,
    /// Commit and place → the forge's number of its deployment.
    pub deployments: Recent<u64>,
    /// GitHub: pull request → comment.
    pub comments: Recent<Comment>,
    /// Commit and context, or deployment → the last status posted.
    pub statuses: Recent<String>,
}

impl SinkMemory {
    /// Records that the receiver got this notice.
    pub(super) fn remember(&mut self, notice: &Notice, now: Timestamp) {
        let id = notice.incident.key.id();
        match notice.kind {
            NoticeKind::Raised | NoticeKind::Escalated | NoticeKind::Reminder => {
                let message = self.posted(&id).cloned();
                self.notified.insert(id, Arc::new(NotifiedHere { notice: notice.clone(), at: now, message }));
            }
            NoticeKind::Resolved => {
                self.notified.remove(&id);
            }
            NoticeKind::Landed | NoticeKind::Test => {}
        }
    }

    /// The message that this receiver keeps for an open incident.
    pub(super) fn posted(&self, id: &IncidentId) -> Option<&PostedMessage> {
        self.notified.get(id)?.message.as_ref()
    }

    /// Records that the receiver got this notice, and the message that later notices of the incident edit or follow.
    pub(super) fn keep(&mut self, notice: &Notice, now: Timestamp, message: PostedMessage) {
        self.remember(notice, now);
        if let Some(told) = self.notified.get_mut(&notice.incident.key.id()) {
            Arc::make_mut(told).message = Some(message);
        }
    }
}

/// What a receiver was told about one repository, for the replica that goes on with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SinkTold {
    /// The incidents of which it knows.
    pub known: Vec<KnownIncident>,
    /// What it has not got yet and nobody would send anew: ends and landings.
    pub waiting: Vec<Notice>,
}

/// An incident of which a receiver knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownIncident {
    /// Which one.
    pub id: IncidentId,
    /// When it was last told.
    pub at: Timestamp,
    /// Its message, where the receiver keeps one per incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<PostedMessage>,
}

impl SinkMemory {
    /// What the receiver was told about a repository.
    pub(super) fn told(&self, repository: &str) -> SinkTold {
        let of = |notice: &&Notice| notice.incident.repository == repository;
        let known = self.notified.iter().filter(|(_, it)| of(&&it.notice));
        let known = known.map(|(id, it)| KnownIncident { id: id.clone(), at: it.at, message: it.message.clone() });
        let lost = |notice: &&Notice| matches!(notice.kind, NoticeKind::Resolved | NoticeKind::Landed);
        SinkTold { known: known.collect(), waiting: self.waiting.iter().filter(of).filter(lost).cloned().collect() }
    }

    /// Forgets what it was told about a repository.
    pub(super) fn forget(&mut self, repository: &str) {
        self.notified.retain(|_, it| it.notice.incident.repository != repository);
    }

    /// Takes over what another replica told the receiver; `open` are the incidents that are open, as notices.
    pub(super) fn adopt(&mut self, told: &SinkTold, open: &[&Notice]) {
        for KnownIncident { id, at, message } in &told.known {
            let notices = open.iter().copied().chain(&told.waiting);
            let notice = notices.into_iter().find(|notice| notice.incident.key.id() == *id);
            if let Some(notice) = notice.cloned() {
                let known = NotifiedHere { notice, at: *at, message: message.clone() };
                self.notified.insert(id.clone(), Arc::new(known));
            }
        }
    }
}

/// An incident, as a receiver was last notified of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifiedHere {
    /// The last notice it got.
    pub notice: Notice,
    /// When.
    pub at: Timestamp,
    /// Its message, where the receiver keeps one per incident.
    #[serde(default, alias = "slack")]
    pub message: Option<PostedMessage>,
}

/// A message that later notices of the same incident edit or follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedMessage {
    /// Where it is, for receivers that ask for it: Slack's channel id, since names are not accepted for edits.
    #[serde(default, alias = "channel")]
    pub place: String,
    /// What identifies it there: Slack's timestamp, Discord's and Matrix's id, the `Message-ID` of an e-mail.
    #[serde(alias = "ts")]
    pub id: String,
}

/// A comment of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Its id.
    pub id: u64,
    /// Its parts by incident.
    pub parts: BTreeMap<IncidentId, String>,
}

/// The most recent items of a kind, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recent<T>(Vec<(String, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Recent<T> {
    /// The item with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&T> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Stores an item and drops the oldest one if there are too many.
    pub fn put(&mut self, key: &str, value: T) {
        self.remove(key);
        if self.0.len() >= MAX_RECENT {
            self.0.remove(0);
        }
        self.0.push((key.to_owned(), value));
    }

    /// Removes an item.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let mut memory = SinkMemory::default();
        for n in 0..2_000 {
            memory.deployments.put(&format!("k{n}"), n);
        }
        memory.deployments.put("k1999", 7);
        assert_eq!(memory.deployments.0.len(), MAX_RECENT);
        assert_eq!((memory.deployments.get("k0"), memory.deployments.get("k1999")), (None, Some(&7)));
        let text = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<SinkMemory>(&text).unwrap(), memory);
        assert_eq!(serde_json::from_str::<SinkMemory>("{}").unwrap(), SinkMemory::default());
        let before = r#"{ "channel": "C1", "ts": "1.2" }"#;
        let message = PostedMessage { place: "C1".to_owned(), id: "1.2".to_owned() };
        assert_eq!(serde_json::from_str::<PostedMessage>(before).unwrap(), message, "as 0.1 kept Slack's");
    }
}
