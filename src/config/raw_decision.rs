//! Freezes, holds and releases as they are written; see [`raw`](super::raw).

use serde::Deserialize;

use super::at::At;

/// A freeze of an environment.
#[derive(Debug, Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a freeze with `environment`, `reason` and `author`"
)]
pub(super) struct Freeze {
    /// The environment; `*` for every environment.
    pub(super) environment: At<String>,
    /// The reason.
    pub(super) reason: At<String>,
    /// Who decided.
    pub(super) author: At<String>,
    /// When it was decided.
    pub(super) since: At<String>,
    /// When it ends.
    pub(super) until: Option<At<String>>,
}

/// A hold, or a release, of an app or an image.
#[derive(Debug, Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a decision with `app` or `image`, `reason` and `author`"
)]
pub(super) struct Hold {
    /// The app.
    pub(super) app: Option<At<String>>,
    /// The image, without tag and digest.
    pub(super) image: Option<At<String>>,
    /// Only in this environment.
    pub(super) environment: Option<At<String>>,
    /// Only to this version: a tag, or a digest.
    pub(super) version: Option<At<String>>,
    /// The reason.
    pub(super) reason: At<String>,
    /// Who decided.
    pub(super) author: At<String>,
    /// When it was decided.
    pub(super) since: At<String>,
    /// When it ends.
    pub(super) until: Option<At<String>>,
}
