//! Why a package of Crossplane could not be installed, from what its package manager says.

use crate::model::CauseCode;

use super::pull::{pull, pull_may_pass};
use super::words::{has, words};

/// Why a package of Crossplane could not be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum PackageFailure {
    /// The registry did not answer, and is asked again.
    Passing,
    /// Anything that does not mend by itself.
    Lasting(CauseCode),
}

/// Why a package of Crossplane could not be installed: `condition` is the condition's type.
pub(in crate::landing) fn package(condition: &str, message: &str) -> PackageFailure {
    let text = words(message);
    let has = |phrases: &[&str]| has(&text, phrases);
    let of_registry = has(&["fetch", "unpack", "pull", "registry"]);
    let fetched = if of_registry { pull("ErrImagePull", message) } else { CauseCode::ImagePull };
    let code = if condition == "Verified" || has(&["signature", "signatures", "verification failed"]) {
        CauseCode::AdmissionDenied
    } else if has(&["dependency", "dependencies"]) {
        CauseCode::Dependency
    } else if has(&["establish control", "cannot apply"]) {
        CauseCode::SyncFailed
    } else if fetched != CauseCode::ImagePull {
        fetched
    } else if of_registry && pull_may_pass("ErrImagePull", message) {
        return PackageFailure::Passing;
    } else if of_registry {
        CauseCode::FetchFailed
    } else {
        CauseCode::NotReady
    };
    PackageFailure::Lasting(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_packages_are_told_apart() {
        use CauseCode as C;
        for (condition, message, failure) in [
            (
                "Installed",
                "cannot unpack package: failed to fetch package digest from remote: GET https://r.example/v2/p/manifests/v1: MANIFEST_UNKNOWN: manifest unknown",
                PackageFailure::Lasting(C::ImageNotFound),
            ),
            (
                "Installed",
                "cannot unpack package: failed to fetch package digest from remote: GET https://r.example/token: UNAUTHORIZED: authentication required",
                PackageFailure::Lasting(C::ImageUnauthorized),
            ),
            (
                "Installed",
                "cannot unpack package: failed to fetch package from remote: Get \"https://r.example/v2/\": dial tcp 10.0.0.1:443: i/o timeout",
                PackageFailure::Passing,
            ),
            (
                "Installed",
                "cannot unpack package: failed to fetch package from remote: Get \"https://r.example/v2/\": x509: certificate signed by unknown authority",
                PackageFailure::Lasting(C::FetchFailed),
            ),
            ("Verified", "no signatures found", PackageFailure::Lasting(C::AdmissionDenied)),
            (
                "RevisionHealthy",
                "cannot resolve package dependencies: missing dependencies: r.example/acme/function-x",
                PackageFailure::Lasting(C::Dependency),
            ),
            (
                "RevisionHealthy",
                "cannot establish control of object: webs.example.org is already controlled by ProviderRevision web-1",
                PackageFailure::Lasting(C::SyncFailed),
            ),
            (
                "RevisionHealthy",
                "cannot establish control of object: the object is not found",
                PackageFailure::Lasting(C::SyncFailed),
            ),
            ("Healthy", "Package revision health is \"False\"", PackageFailure::Lasting(C::NotReady)),
            ("RuntimeHealthy", "cannot get service account: not found", PackageFailure::Lasting(C::NotReady)),
        ] {
            assert_eq!(package(condition, message), failure, "{message}");
        }
    }
}
