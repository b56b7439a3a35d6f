//! Updates and their ids.

use std::fmt;

use serde::Serialize;

use super::{BranchName, ImageName, Version};

/// A deterministic name for "this image, to this version, in this overlay of this branch, for this scope": 16
/// hexadecimal digits. The scope distinguishes what shares an overlay's folder: environments, or files under different
/// rules.
///
/// It is in the commit's trailers and the pull request's text. The same decision made again, by another replica or
/// after a restart, has the same id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct UpdateId(String);

impl UpdateId {
    /// The id of an update.
    #[must_use]
    pub fn of(branch: &BranchName, overlay: &str, scope: &str, image: &ImageName, to: &Version) -> Self {
        let text = format!("{branch}\n{overlay}\n{scope}\n{image}\n{to}");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        Self(digest.as_ref().iter().take(8).map(|b| format!("{b:02x}")).collect())
    }

    /// Reads an id back from a trailer.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
            .then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
