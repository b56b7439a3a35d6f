//! Messages of kubelet, API server and controllers → cause codes.
//!
//! Each of them has only prose; which phrase means what stands here and nowhere else. Numbers such as 404 are matched with
//! the words around them, since tags and digests are full of numbers.

use crate::model::CauseCode;

fn has(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| text.contains(phrase))
}

// What registries and container runtimes say, in lower case.
const RATE_LIMITED: &[&str] = &[
    "429 too many",
    "toomanyrequests",
    "too many requests",
    "rate limit",
    "pull rate",
    "status: 429",
    "code: 429",
    "status code 429",
];
const PLATFORM: &[&str] = &[
    "no match for platform",
    "no matching manifest for",
    "no image found in manifest list",
    "no image found in image index",
    "does not match the specified platform",
    "exec format error",
    "cannot be used on this platform",
];
const NETWORK: &[&str] = &[
    "dial tcp",
    "i/o timeout",
    "no such host",
    "connection refused",
    "connection reset",
    "tls handshake",
    "x509:",
    "certificate",
    "context deadline exceeded",
    "unexpected eof",
    "server misbehaving",
    "500 internal",
    "502 bad",
    "503 service",
    "504 gateway",
    "no route to host",
    "request canceled",
    "network is unreachable",
];
const UNAUTHORIZED: &[&str] = &[
    "pull access denied",
    "unauthorized",
    "authentication required",
    "401 ",
    "403 forbidden",
    "access forbidden",
    "no basic auth credentials",
    "insufficient_scope",
    "authorization failed",
    "failed to authorize",
    "access denied",
    "denied: ",
    "requested access to the resource is denied",
    "invalid username/password",
    "permission denied",
];
const NOT_FOUND: &[&str] = &[
    "not found",
    "manifest unknown",
    "manifest_unknown",
    "name unknown",
    "name_unknown",
    "repository name not known",
    "404 not",
    "does not exist",
    "notfound",
];

/// Why an image could not be pulled, from what the kubelet and the container runtime say.
pub(in crate::landing) fn pull(reason: &str, message: &str) -> CauseCode {
    if matches!(reason, "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError") {
        return CauseCode::ImagePull;
    }
    let text = message.to_lowercase();
    // The network comes before "unauthorized": a token server that cannot be reached is said to be a failure to authorize.
    let kinds = [
        (RATE_LIMITED, CauseCode::ImageRateLimited),
        (PLATFORM, CauseCode::ImagePlatform),
        (NETWORK, CauseCode::ImagePull),
        (UNAUTHORIZED, CauseCode::ImageUnauthorized),
        (NOT_FOUND, CauseCode::ImageNotFound),
    ];
    let known = kinds.into_iter().find(|(phrases, _)| has(&text, phrases));
    known.map_or(CauseCode::ImagePull, |(_, code)| code)
}

/// Why objects could not be applied, built, fetched or made; `otherwise` where the words are not known.
pub(in crate::landing) fn apply(message: &str, otherwise: CauseCode) -> CauseCode {
    let text = message.to_lowercase();
    if has(
        &text,
        &[
            "field is immutable",
            "is immutable",
            "fields other than",
            "may not change once set",
            "cannot be changed",
            "immutable field",
            "cannot change",
        ],
    ) {
        // "updates to statefulset spec for fields other than … are forbidden" is no matter of permission.
        CauseCode::ImmutableField
    } else if has(
        &text,
        &[
            "exceeded quota",
            "quota exceeded",
            "failed quota",
            "must specify limits",
            "maximum cpu usage",
            "maximum memory usage",
            "minimum cpu usage",
            "minimum memory usage",
        ],
    ) {
        CauseCode::Quota
    } else if has(
        &text,
        &[
            "admission webhook",
            "violates podsecurity",
            "validatingadmissionpolicy",
            "denied the request",
            "failed calling webhook",
            "blocked by policy",
            "denied request",
            "unable to validate against any security context constraint",
        ],
    ) {
        CauseCode::AdmissionDenied
    } else if has(
        &text,
        &[
            "is forbidden",
            "forbidden:",
            "cannot patch resource",
            "cannot create resource",
            "cannot get resource",
            "is not permitted in project",
            "not permitted",
        ],
    ) {
        CauseCode::Forbidden
    } else if has(
        &text,
        &[
            "waiting for completion of hook",
            "hook failed",
            "pre-upgrade hooks failed",
            "post-upgrade hooks failed",
            "pre-install hooks failed",
            "post-install hooks failed",
            "hooks failed",
        ],
    ) {
        CauseCode::Hook
    } else {
        otherwise
    }
}

/// Why a controller could not render a revision: because it could not fetch it, or because it does not build.
pub(in crate::landing) fn render(message: &str) -> CauseCode {
    let text = message.to_lowercase();
    if has(
        &text,
        &[
            "authentication required",
            "authorization failed",
            "repository not found",
            "unable to resolve",
            "unable to ls-remote",
            "ls-remote",
            "could not read username",
            "ssh: handshake",
            "knownhosts",
            "unknown revision",
            "failed to list refs",
            "failed to fetch",
            "failed to checkout",
            "failed to clone",
            "error creating ssh",
            "dial tcp",
            "couldn't find remote ref",
            "connection refused",
            "i/o timeout",
            "no such host",
            "failed to initialize repository",
            "error fetching",
            "permission denied (publickey)",
            "invalid credentials",
        ],
    ) {
        CauseCode::FetchFailed
    } else {
        CauseCode::BuildFailed
    }
}

/// What a health check that ran out of time says about the objects it waited for.
pub(in crate::landing) fn health(message: &str) -> CauseCode {
    let text = message.to_lowercase();
    let failed = has(&text, &["status: 'failed'", "stalled resources"]);
    if failed { CauseCode::ProgressDeadline } else { CauseCode::NotReady }
}

/// Whether waiting alone may mend what has this cause.
pub(in crate::landing) fn mends_by_waiting(code: CauseCode) -> bool {
    !matches!(
        code,
        CauseCode::ImmutableField
            | CauseCode::Forbidden
            | CauseCode::AdmissionDenied
            | CauseCode::Quota
            | CauseCode::BuildFailed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_are_told_apart() {
        use CauseCode as C;
        for (message, code) in [
            (
                "failed to resolve reference \"ghcr.io/acme/web:1.4.0\": ghcr.io/acme/web:1.4.0: not found",
                C::ImageNotFound,
            ),
            ("manifest for acme/web:9 not found: manifest unknown: manifest unknown", C::ImageNotFound),
            (
                "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                C::ImageUnauthorized,
            ),
            (
                "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
                C::ImageUnauthorized,
            ),
            (
                "unexpected status from HEAD request to https://ghcr.io/v2/x/manifests/1: 403 Forbidden",
                C::ImageUnauthorized,
            ),
            (
                "failed to fetch oauth token: dial tcp: lookup auth.docker.io on 10.0.0.10:53: no such host",
                C::ImagePull,
            ),
            ("toomanyrequests: You have reached your pull rate limit", C::ImageRateLimited),
            ("unexpected status code [manifests 1.429.0]: 429 Too Many Requests", C::ImageRateLimited),
            ("no match for platform in manifest: not found", C::ImagePlatform),
            ("Back-off pulling image \"ghcr.io/acme/web:1.404.0\"", C::ImagePull),
            (
                "failed to do request: Head \"https://r/v2/\": x509: certificate signed by unknown authority",
                C::ImagePull,
            ),
        ] {
            assert_eq!(pull("ErrImagePull", message), code, "{message}");
        }
    }

    #[test]
    fn failures_to_apply_are_told_apart() {
        use CauseCode as C;
        for (message, code) in [
            (
                "Job.batch \"m\" is invalid: spec.template: Invalid value: core.PodTemplateSpec{}: field is immutable",
                C::ImmutableField,
            ),
            (
                "StatefulSet.apps \"db\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas'",
                C::ImmutableField,
            ),
            ("pods \"web-1\" is forbidden: exceeded quota: compute, requested: cpu=1", C::Quota),
            ("admission webhook \"validate.kyverno.svc\" denied the request: no latest", C::AdmissionDenied),
            ("pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\"", C::AdmissionDenied),
            (
                "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:x:y\" cannot patch resource",
                C::Forbidden,
            ),
            ("one or more objects failed to apply", C::SyncFailed),
        ] {
            assert_eq!(apply(message, C::SyncFailed), code, "{message}");
        }
        assert_eq!(render("failed to generate manifest for source 1 of 1: kustomize build failed"), C::BuildFailed);
        assert_eq!(render("unable to resolve 'main' to a commit SHA"), C::FetchFailed);
    }
}
