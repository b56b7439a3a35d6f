//! What changes with another version of a chart, as far as its archive says it.

use serde::{Deserialize, Serialize};

/// The files of a chart that are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChartFiles {
    /// `Chart.yaml`.
    pub chart: String,
    /// `values.yaml`; empty if there is none.
    pub values: String,
}

/// What changes from one version of a chart to another. Advisory: nothing is decided by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartChange {
    /// The version of the application before.
    pub app_version_from: Option<String>,
    /// The version of the application then.
    pub app_version_to: Option<String>,
    /// Where to read more: what it is, and the address.
    pub links: Vec<ChartLink>,
    /// What its author says of the new version, one line each.
    pub changes: Vec<String>,
    /// The keys of values that the new version no longer has: the topmost ones, such as `image.pullPolicy`.
    pub gone: Vec<ValueKey>,
    /// What could not be read, and why.
    pub unread: Option<String>,
}

impl ChartChange {
    /// Nothing is known of it, for this reason.
    #[must_use]
    pub fn unread(why: String) -> Self {
        Self { unread: Some(why), ..Self::default() }
    }
}

/// Where to read more about a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartLink {
    /// What it is: `home`, `source`.
    pub what: String,
    /// The address.
    pub url: String,
}

/// The keys that lead to a value of a chart.
pub type ValueKey = Vec<String>;

/// What is told of a chart's new version where it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChartNotes {
    /// What changes in the chart.
    pub change: ChartChange,
    /// The values that the repository sets for it, of those that it no longer has: `image.pullPolicy`.
    pub set_in_vain: Vec<String>,
}
