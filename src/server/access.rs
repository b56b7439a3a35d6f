//! Who may read what is not for everybody: whoever has the token, or, without one, this machine alone.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderMap;
use http::header::{AUTHORIZATION, FORWARDED, HOST};
use secrecy::{ExposeSecret as _, SecretString};

use super::listen::Peer;

/// Whether a request may read it.
pub(super) fn may_read(token: Option<&SecretString>, peer: Peer, headers: &HeaderMap) -> bool {
    match token {
        Some(token) => has_token(token, headers),
        None => is_here(peer, headers),
    }
}

fn has_token(token: &SecretString, headers: &HeaderMap) -> bool {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = match header.split_once(' ') {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given.trim(),
        _ => return false,
    };
    verify_slices_are_equal(given.as_bytes(), token.expose_secret().as_bytes()).is_ok()
}

/// Whether it comes from this machine itself: neither through a proxy on it, nor from a page in a browser on it that had
/// its own name lead here.
fn is_here(peer: Peer, headers: &HeaderMap) -> bool {
    let forwarded = headers.contains_key(FORWARDED) || headers.contains_key("x-forwarded-for");
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // The colons of an address in brackets are none before a port.
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let named = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    peer.0.ip().to_canonical().is_loopback() && named && !forwarded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn without_a_token_only_this_machine_itself_reads() {
        for (peer, pairs, may) in [
            ("127.0.0.1:1", &[("host", "127.0.0.1:8080")][..], true),
            ("[::1]:1", &[("host", "[::1]:8080")], true),
            ("[::1]:1", &[("host", "[::1]")], true),
            ("[::1]:1", &[("host", "[fd00::1]")], false),
            ("[::1]:1", &[("host", "[::1")], false),
            ("[::ffff:127.0.0.1]:1", &[("host", "localhost:8080")], true),
            ("10.0.0.7:1", &[("host", "127.0.0.1:8080")], false),
            ("127.0.0.1:1", &[("host", "evil.example:8080")], false),
            ("127.0.0.1:1", &[], false),
            ("127.0.0.1:1", &[("host", "localhost"), ("x-forwarded-for", "10.0.0.7")], false),
            ("127.0.0.1:1", &[("host", "localhost"), ("forwarded", "for=10.0.0.7")], false),
        ] {
            assert_eq!(may_read(None, Peer(peer.parse().unwrap()), &headers(pairs)), may, "{peer} {pairs:?}");
        }
    }

    #[test]
    fn with_a_token_only_whoever_has_it_reads() {
        let token = SecretString::from("t0ken");
        for (value, may) in [
            ("Bearer t0ken", true),
            ("bearer t0ken", true),
            ("Bearer t0ken2", false),
            ("Basic t0ken", false),
            ("t0ken", false),
            ("", false),
        ] {
            let here = Peer("127.0.0.1:1".parse().unwrap());
            let headers = headers(&[("authorization", value), ("host", "localhost")]);
            assert_eq!(may_read(Some(&token), here, &headers), may, "{value}");
        }
    }
}
