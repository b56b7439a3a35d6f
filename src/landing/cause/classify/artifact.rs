//! Why the artifact of a Flux source or chart could not be used.

use super::outage::is_transient;
use super::words::{has, words};

/// Why the artifact of a Flux source or chart could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum ArtifactFailure {
    /// There is none yet, or not of the newest specification: normal after each change.
    NotYet,
    /// It has no such path.
    Path,
    /// source-controller does not hand it out.
    Unreachable,
    /// Anything else.
    Other,
}

/// Why the artifact of a Flux source or chart could not be used.
pub(in crate::landing) fn artifact(message: &str) -> ArtifactFailure {
    let text = words(message);
    let has = |phrases: &[&str]| has(&text, phrases);
    if has(&["path not found", "invalid path", "no such file or directory", "kustomization path"]) {
        ArtifactFailure::Path
    } else if has(&["failed to download", "giving up after"]) || is_transient(&text) {
        ArtifactFailure::Unreachable
    } else if has(&[
        "has not been reconciled",
        "does not have an artifact",
        "artifact not found",
        "no artifact available",
    ]) {
        ArtifactFailure::NotYet
    } else {
        ArtifactFailure::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_told_apart() {
        for (message, failure) in [
            ("kustomization path not found: stat /tmp/k-1/apps/web: no such file or directory", ArtifactFailure::Path),
            (
                "failed to download archive: GET http://source.flux./x.tgz giving up after 5 attempt(s): connection refused",
                ArtifactFailure::Unreachable,
            ),
            (
                "HelmChart 'flux/web' is not ready: latest generation of object has not been reconciled",
                ArtifactFailure::NotYet,
            ),
            ("HelmChart 'flux/web' is not ready: does not have an artifact", ArtifactFailure::NotYet),
            ("Source artifact not found, retrying in 30s", ArtifactFailure::NotYet),
            ("failed to verify archive digest", ArtifactFailure::Other),
        ] {
            assert_eq!(artifact(message), failure, "{message}");
        }
    }
}
