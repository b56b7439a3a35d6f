//! The state of watching one kind: never reported as fine unless the server said so.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// The state of watching one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindState {
    /// Not listed yet.
    Starting,
    /// Listed completely, and followed since then.
    Synced {
        /// When the last list was complete and started to be followed.
        at: Timestamp,
    },
    /// The server says that it does not serve this kind. It has no objects.
    NotInstalled,
    /// RBAC does not permit it. Earlier objects are kept; they are stale.
    Forbidden {
        /// `list` or `watch`.
        verb: &'static str,
        /// The plural with its group.
        resource: String,
        /// The namespace, if only some are read.
        namespace: Option<String>,
        /// The RBAC rule to add, as YAML.
        rule: String,
    },
    /// The server is unreachable or does not answer properly. Earlier objects are kept; they are stale.
    Disconnected {
        /// Since when.
        since: Timestamp,
        /// What went wrong.
        message: String,
    },
}

/// The state, and what else is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindStatus {
    /// The state.
    pub state: KindState,
    /// When the server was last heard about this kind: an object, a bookmark, the end of a watch.
    pub heard: Option<Timestamp>,
    /// The watched `apiVersion`.
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
    /// Whether everything about this kind is known: it is synced, or the server does not serve it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Synced { .. } | Self::NotInstalled)
    }

    /// Greater means that less is known.
    fn rank(&self) -> u8 {
        match self {
            Self::NotInstalled => 0,
            Self::Synced { .. } => 1,
            Self::Starting => 2,
            Self::Forbidden { .. } => 3,
            Self::Disconnected { .. } => 4,
        }
    }

    /// Whether going from one to the other is not worth a log line: only times differ.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Synced { .. }, Self::Synced { .. }) => true,
            // The message may change from one attempt to the next; it is still one loss.
            (Self::Disconnected { .. }, Self::Disconnected { .. }) => true,
            (one, two) => one == two,
        }
    }

    /// Whether both are losses with the same message.
    pub(super) fn is_the_same_loss(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Disconnected { message: one, .. }, Self::Disconnected { message: two, .. }) => one == two,
            _ => false,
        }
    }
}

impl KindStatus {
    /// The status of a kind that is watched in several namespaces: the worst state, and the oldest times.
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
