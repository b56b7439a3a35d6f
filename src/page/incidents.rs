//! The open incidents.

use std::cmp::Reverse;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{CauseCode, Notice, Rung, Severity, State};

use super::facts::Facts;
use super::filter::RowFilter;

/// The open incidents.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IncidentsView {
    /// The most severe first, then the oldest.
    pub incidents: Vec<IncidentView>,
}

/// An open incident.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentView {
    /// Its id, as receivers of alerts have it.
    pub id: String,
    /// How severe it is.
    pub severity: Severity,
    /// The repository.
    pub repository: String,
    /// The app; for a repository or cluster, its name.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The image.
    pub image: String,
    /// The version that did not land.
    pub version: String,
    /// What ran before, or runs instead.
    pub from: Vec<String>,
    /// The state.
    pub state: State,
    /// The first rung not reached.
    pub rung: Option<Rung>,
    /// Which cause.
    pub code: Option<CauseCode>,
    /// What is wrong and where.
    pub cause: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What to do next.
    pub next: String,
    /// Since when.
    pub since: Timestamp,
    /// When it should have landed.
    pub deadline: Option<Timestamp>,
    /// How often somebody was notified.
    pub told: u32,
    /// In how many overlays.
    pub overlays: u32,
    /// Whether it keeps landing and failing.
    pub oscillating: bool,
    /// Its pull request.
    pub pull_request: Option<String>,
    /// The commit.
    pub commit: Option<String>,
}

/// The open incidents that the filter lets through.
#[must_use]
pub fn incidents(facts: &Facts<'_>, filter: &RowFilter) -> IncidentsView {
    let mut open: Vec<&Notice> = facts.incidents.iter().filter(|notice| wants(filter, notice)).collect();
    open.sort_by_key(|notice| (Reverse(notice.incident.severity), notice.incident.since));
    IncidentsView { incidents: open.into_iter().map(view).collect() }
}

fn wants(filter: &RowFilter, notice: &Notice) -> bool {
    let incident = &notice.incident;
    let is = |wanted: &str, name: Option<&str>| wanted.is_empty() || name == Some(wanted);
    let q = filter.q.trim().to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&q);
    is(&filter.repository, Some(&incident.repository))
        && is(&filter.app, Some(&incident.key.app))
        && is(&filter.environment, incident.key.environment.as_deref())
        && is(&filter.cluster, incident.key.cluster.as_deref())
        && (filter.image.is_empty()
            || incident.key.image == filter.image
            || incident.key.image.rsplit('/').next() == Some(&filter.image))
        && (q.is_empty() || has(&incident.key.app) || has(&incident.key.image) || has(&incident.key.version))
}

fn view(notice: &Notice) -> IncidentView {
    let incident = &notice.incident;
    IncidentView {
        id: incident.key.id().to_string(),
        severity: incident.severity,
        repository: incident.repository.clone(),
        app: incident.key.app.clone(),
        environment: incident.key.environment.clone(),
        cluster: incident.key.cluster.clone(),
        image: incident.key.image.clone(),
        version: incident.key.version.clone(),
        from: notice.from.clone(),
        state: incident.state,
        rung: incident.rung,
        code: incident.code,
        cause: notice.cause.clone(),
        evidence: notice.evidence.clone(),
        next: notice.next.clone(),
        since: incident.since,
        deadline: incident.deadline,
        told: notice.counts.told,
        overlays: notice.counts.overlays,
        oscillating: notice.oscillating,
        pull_request: notice.links.pull_request.clone(),
        commit: incident.commit.clone(),
    }
}
