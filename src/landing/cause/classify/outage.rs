//! Failures of a server or a network, which may be over at the next attempt.

use super::words::{has, words};

/// What a client says that does not get through to an API server. A bare "context deadline exceeded" may also be the end of
/// Helm's own patience, so it counts only after a request.
pub(super) const UNREACHABLE: &[&str] = &[
    "cluster unreachable",
    "dial tcp",
    "connection refused",
    "connection reset",
    "i/o timeout",
    "no such host",
    "no route to host",
    "network is unreachable",
    "tls handshake timeout",
    "client.timeout exceeded",
    "unexpected eof",
    "get *: context deadline exceeded",
    "post *: context deadline exceeded",
    "put *: context deadline exceeded",
    "patch *: context deadline exceeded",
    "delete *: context deadline exceeded",
    "get *: eof",
    "post *: eof",
    "put *: eof",
    "patch *: eof",
    "delete *: eof",
];

/// Whether a request failed since a server or the network did, so that the next one may succeed.
pub(in crate::landing) fn may_pass(message: &str) -> bool {
    is_transient(&words(message))
}

pub(super) fn is_transient(text: &str) -> bool {
    let lasting = ["x509: ", "certificate", "server gave http response to https client"];
    let server = [
        "500 internal",
        "502 bad",
        "503 service",
        "504 gateway",
        "status code: 500",
        "status code: 502",
        "status code: 503",
        "status code: 504",
        "status code 500",
        "status code 502",
        "status code 503",
        "status code 504",
        "server misbehaving",
        "request canceled",
        "context deadline exceeded",
        "connection timed out",
        "operation timed out",
    ];
    !has(text, &lasting) && (has(text, UNREACHABLE) || has(text, &server))
}
