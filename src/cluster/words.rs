//! What is not visible in a cluster, in messages for people: why, and what to do.

use std::collections::BTreeMap;

use super::{KindState, KindStatus, Snapshot, WatchedKind};
use crate::model::CauseCode;

impl KindState {
    /// What to do about a kind that is not visible.
    #[must_use]
    pub fn remedy(&self) -> (CauseCode, String) {
        match self {
            Self::Forbidden { rule, .. } => (CauseCode::Forbidden, format!("add to the bot's role:\n{rule}")),
            Self::Disconnected { .. } => {
                (CauseCode::Stale, "check that the cluster's API server answers the bot".to_owned())
            }
            Self::Synced { .. } => {
                (CauseCode::Unknown, "make the named object smaller, or find out what fills it".to_owned())
            }
            _ => (CauseCode::Unknown, "wait until everything has been listed".to_owned()),
        }
    }

    /// Why a kind is not visible; empty if it is.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Starting => "it has not been listed yet".to_owned(),
            Self::Forbidden { verb, resource, rule, .. } => {
                format!("the bot may not {verb} {resource}; add to its role: {}", rule.trim().replace('\n', " "))
            }
            Self::Disconnected { since, message } => format!("no contact since {since:.0}: {message}"),
            Self::Synced { .. } | Self::NotInstalled => String::new(),
        }
    }
}

impl Snapshot {
    /// The first disconnected or forbidden kind that all judgements about the cluster depend on.
    #[must_use]
    pub fn outage(&self) -> Option<(WatchedKind, &KindStatus)> {
        let lost = |state: &KindState| matches!(state, KindState::Disconnected { .. } | KindState::Forbidden { .. });
        self.gaps().find(|(kind, status)| kind.is_essential() && lost(&status.state))
    }

    /// What is wrong with a cluster as a whole, one line per reason.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (kind, status) in &self.kinds {
            let reason = match &status.state {
                KindState::Disconnected { since, message } => format!("no contact since {since:.0}: {message}"),
                KindState::Forbidden { rule, .. } => format!("not permitted; add to the bot's role:\n{rule}"),
                KindState::Starting => "not listed yet".to_owned(),
                KindState::Synced { .. } | KindState::NotInstalled => continue,
            };
            reasons.entry(reason).or_default().push(kind.name());
        }
        let line =
            |(reason, kinds): (String, Vec<&str>)| format!("cluster {}: {}: {reason}", self.cluster, kinds.join(", "));
        reasons.into_iter().map(line).chain(self.unreadable()).collect()
    }

    /// The unreadable objects, one line per kind, namespace and reason.
    fn unreadable(&self) -> Vec<String> {
        let mut alike: BTreeMap<(WatchedKind, &str, &str), Vec<&str>> = BTreeMap::new();
        for (kind, status) in &self.kinds {
            for (object, reason) in &status.unreadable {
                let namespace = object.split_once('/').map_or("", |(namespace, _)| namespace);
                alike.entry((*kind, namespace, reason)).or_default().push(object);
            }
        }
        let line = |((kind, _, reason), objects): ((WatchedKind, &str, &str), Vec<&str>)| {
            let (named, more) = objects.split_at(objects.len().min(3));
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            let (cluster, named) = (&self.cluster, named.join(", "));
            format!("cluster {cluster}: {kind} {named}{more} cannot be read, so its state is unknown: {reason}")
        };
        alike.into_iter().map(line).collect()
    }
}
