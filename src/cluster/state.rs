//! How the watching of one kind stands: in words that are never "fine" unless the server said so.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// How the watching of one kind stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindState {
    /// Not listed yet.
    Starting,
    /// Listed completely, and followed since.
    Synced {
        /// When the last list was complete and its changes began to be followed.
        at: Timestamp,
    },
    /// The server says that it does not serve this kind. There are no objects of it.
    NotInstalled,
    /// RBAC does not permit it. Objects of before are kept; they are stale.
    Forbidden {
        /// `list` or `watch`.
        verb: &'static str,
        /// The plural with its group.
        resource: String,
        /// The namespace, where only some are read.
        namespace: Option<String>,
        /// The RBAC rule to add, as YAML.
        rule: String,
    },
    /// The server cannot be reached or does not answer as it should. Objects of before are kept; they are stale.
    Disconnected {
        /// Since when.
        since: Timestamp,
        /// What it was.
        message: String,
    },
}

/// The state with what else is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindStatus {
    /// The state.
    pub state: KindState,
    /// When the server was last heard about this kind: an object, a bookmark, the end of a watch.
    pub heard: Option<Timestamp>,
    /// The `apiVersion` that is watched.
    pub api_version: Option<String>,
    /// Objects that could not be read, by namespace and name, with the reason: they are missing from the snapshot.
    pub unreadable: BTreeMap<String, String>,
}

impl Default for KindStatus {
    fn default() -> Self {
        Self { state: KindState::Starting, heard: None, api_version: None, unreadable: BTreeMap::new() }
    }
}

impl KindState {
    /// Whether what is known of this kind is all there is: it is synced, or the server has no such kind.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Synced { .. } | Self::NotInstalled)
    }

    /// The greater, the less is known.
    fn rank(&self) -> u8 {
        match self {
            Self::NotInstalled => 0,
            Self::Synced { .. } => 1,
            Self::Starting => 2,
            Self::Forbidden { .. } => 3,
            Self::Disconnected { .. } => 4,
        }
    }

    /// Whether going from one to the other is worth a line in the log: another word, not another time.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Synced { .. }, Self::Synced { .. }) => true,
            // What it looks like may change from one try to the next; it is one loss.
            (Self::Disconnected { .. }, Self::Disconnected { .. }) => true,
            (one, two) => one == two,
        }
    }

    /// Whether both are losses with the same words.
    pub(super) fn is_the_same_loss(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Disconnected { message: one, .. }, Self::Disconnected { message: two, .. }) => one == two,
            _ => false,
        }
    }
}

impl KindStatus {
    /// The status of a kind that is watched in several namespaces: the worst of them, and the oldest times.
    pub(super) fn worse(self, other: &Self) -> Self {
        let state = match (&self.state, &other.state) {
            (KindState::Synced { at: one }, KindState::Synced { at: two }) => KindState::Synced { at: *one.min(two) },
            (one, two) if two.rank() > one.rank() => other.state.clone(),
            _ => self.state,
        };
        let mut unreadable = self.unreadable;
        unreadable.extend(other.unreadable.clone());
        Self {
            state,
            heard: self.heard.zip(other.heard).map(|(one, two)| one.min(two)),
            api_version: self.api_version.or_else(|| other.api_version.clone()),
            unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_namespace_speaks_for_the_kind() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (early, late) = (at("2026-01-05T08:00:00Z"), at("2026-01-05T09:00:00Z"));
        let status = |state, heard| KindStatus { state, heard, ..KindStatus::default() };
        let synced = |time| status(KindState::Synced { at: time }, Some(time));
        assert_eq!(synced(late).worse(&synced(early)), synced(early));
        let lost = status(KindState::Disconnected { since: late, message: "reset".to_owned() }, None);
        for (one, two) in [(synced(early), lost.clone()), (lost.clone(), synced(early))] {
            let worst = one.worse(&two);
            assert_eq!((&worst.state, worst.heard), (&lost.state, None));
        }
        assert!(!KindState::Starting.is_complete());
    }
}
