//! Why an image could not be pulled, from what registries, container runtimes and the kubelet say.

use crate::model::CauseCode;

use super::outage::is_transient;
use super::words::{has, words};

// What registries and container runtimes say, in lower case.
const DISK: &[&str] = &[
    "failed to extract layer",
    "failed to register layer",
    "mount callback failed",
    "no space left on device",
    "read-only file system",
    "input/output error",
    "failed to create temp dir",
    "failed to prepare extraction snapshot",
    "failed to mount",
    "error committing the finished image",
];
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
pub(super) const PLATFORM: &[&str] = &[
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
    "tls: ",
    "x509: ",
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
    "server gave http response to https client",
];
const UNAUTHORIZED: &[&str] = &[
    "pull access denied",
    "unauthorized",
    "authentication required",
    "status: 401",
    "status code 401",
    "401 unauthorized",
    "403 forbidden",
    "access forbidden",
    "no basic auth credentials",
    "insufficient_scope",
    "authorization failed",
    "failed to authorize",
    "access denied",
    "denied: ",
    "requested access to the resource is denied",
    "invalid username",
    "permission denied",
    "authorization token has expired",
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
    let text = words(origin(message));
    // The disk comes first, since its permissions are not the registry's. The network comes before "unauthorized",
    // because an unreachable token server is reported as a failure to authorize.
    let kinds = [
        (RATE_LIMITED, CauseCode::ImageRateLimited),
        (PLATFORM, CauseCode::ImagePlatform),
        (DISK, CauseCode::ImagePull),
        (NETWORK, CauseCode::ImagePull),
        (UNAUTHORIZED, CauseCode::ImageUnauthorized),
        (NOT_FOUND, CauseCode::ImageNotFound),
    ];
    let known = kinds.into_iter().find(|(phrases, _)| has(&text, phrases));
    known.map_or(CauseCode::ImagePull, |(_, code)| code)
}

/// Whether a failed pull may be over at the next attempt: the registry, the network or the kubelet's own limits failed, and
/// nothing that anybody declared is wrong. A certificate or a scheme that is not accepted does not mend by itself.
pub(in crate::landing) fn pull_may_pass(reason: &str, message: &str) -> bool {
    let text = words(origin(message));
    if pull(reason, message) != CauseCode::ImagePull || has(&text, DISK) {
        return false;
    }
    reason == "RegistryUnavailable" || is_transient(&text) || has(&text, &["pull qps exceeded", "context canceled"])
}

/// What the image's own registry said. CRI-O and Podman put the mirrors' failures before it, in parentheses and brackets.
fn origin(message: &str) -> &str {
    let after = message.split_once("Mirrors also failed").and_then(|(_, rest)| rest.split_once("]):"));
    after.map_or(message, |(_, rest)| rest)
}

/// The image that a message of the kubelet or the runtime is about. For a failed image volume, this is the only place
/// that names it.
pub(in crate::landing) fn pulled_image(message: &str) -> Option<&str> {
    let starts = ["pulling image \"", "pull image \"", "unpack image \"", "resolve reference \""];
    let found = starts.iter().find_map(|start| message.split_once(start));
    found.and_then(|(_, rest)| rest.split('"').next()).filter(|image| !image.is_empty())
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
                "(Mirrors also failed: [m.corp/acme/web:1: pinging container registry m.corp: dial tcp: no such host]): ghcr.io/acme/web:1: reading manifest 1 in ghcr.io/acme/web: manifest unknown",
                C::ImageNotFound,
            ),
            (
                "(Mirrors also failed: [m.corp/acme/web:1: manifest unknown]): ghcr.io/acme/web:1: pinging container registry ghcr.io: dial tcp: i/o timeout",
                C::ImagePull,
            ),
            (
                "failed to do request: Head \"https://r/v2/\": x509: certificate signed by unknown authority",
                C::ImagePull,
            ),
        ] {
            assert_eq!(pull("ErrImagePull", message), code, "{message}");
        }
    }

    #[test]
    fn pulls_that_may_pass_are_told_from_those_that_will_not() {
        for (reason, message, passes) in [
            (
                "ErrImagePull",
                "unexpected status from HEAD request to https://r.corp/v2/x/manifests/1: 502 Bad Gateway",
                true,
            ),
            ("ErrImagePull", "pull QPS exceeded", true),
            ("ErrImagePull", "rpc error: code = Canceled desc = failed to pull: context canceled", true),
            ("ErrImagePull", "dial tcp: lookup r.corp on 10.0.0.10:53: no such host", true),
            ("RegistryUnavailable", "the registry is away", true),
            ("ErrImagePull", "tls: failed to verify certificate: x509: certificate signed by unknown authority", false),
            ("ErrImagePull", "failed to extract layer sha256:aa: connection reset by the snapshotter", false),
            ("ErrImagePull", "manifest unknown", false),
            ("InvalidImageName", "couldn't parse image reference", false),
            ("ImagePullBackOff", "Back-off pulling image \"r.corp/x:1\"", false),
        ] {
            assert_eq!(pull_may_pass(reason, message), passes, "{message}");
        }
    }
}
