//! Who may read what is not for everybody: whoever has the token or comes through a proxy that vouches; without a token, this
//! machine.
//!
//! A browser asks for a password, and sends it with every request of the page: that password is the token, for any name.
//! Nothing is stored in it, and there is no form, so that there is no session to steal and no request to forge.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, FORWARDED, HOST, HeaderName, VIA};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::TrustedProxySettings;

use super::listen::Peer;

/// Who may read.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// The token; `None`: this machine alone may read.
    pub(super) token: Option<SecretString>,
    /// The proxy that logs people in.
    pub(super) proxy: Option<TrustedProxySettings>,
}

/// Whether a request may read it.
pub(super) fn may_read(access: &Access, peer: Peer, headers: &HeaderMap) -> bool {
    // What comes from where the proxy is was sent by anybody, also where the proxy is on this machine.
    let proxied = access.proxy.as_ref().filter(|proxy| proxy.networks.iter().any(|it| it.contains(peer.0.ip())));
    if proxied.is_some_and(|proxy| vouches(proxy, headers)) {
        return true;
    }
    match &access.token {
        Some(token) => has_token(token, headers),
        None => proxied.is_none() && is_here(peer, headers),
    }
}

fn has_token(token: &SecretString, headers: &HeaderMap) -> bool {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = match header.split_once(' ') {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given.trim().as_bytes().to_vec(),
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("basic") => {
            let decoded = STANDARD.decode(given.trim()).unwrap_or_default();
            match decoded.iter().position(|byte| *byte == b':') {
                Some(at) => decoded[at + 1..].to_vec(),
                None => return false,
            }
        }
        _ => return false,
    };
    verify_slices_are_equal(&given, token.expose_secret().as_bytes()).is_ok()
}

/// Whether a trusted proxy names whom it has logged in. Two names are none: somebody has added one.
fn vouches(proxy: &TrustedProxySettings, headers: &HeaderMap) -> bool {
    let mut names = headers.get_all(proxy.header.as_str()).iter();
    names.next().is_some_and(|name| !name.as_bytes().trim_ascii().is_empty()) && names.next().is_none()
}

/// What proxies add to the requests of others.
const FORWARDING: [HeaderName; 6] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// Whether it comes from this machine itself: neither through a proxy on it, nor from a page in a browser on it that had
/// its own name lead here.
fn is_here(peer: Peer, headers: &HeaderMap) -> bool {
    let forwarded = FORWARDING.iter().any(|header| headers.contains_key(header));
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
    use crate::config::Network;

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
            ("127.0.0.1:1", &[("host", "localhost"), ("x-real-ip", "10.0.0.7")], false),
            ("127.0.0.1:1", &[("host", "localhost"), ("via", "1.1 proxy")], false),
        ] {
            assert_eq!(
                may_read(&Access::default(), Peer(peer.parse().unwrap()), &headers(pairs)),
                may,
                "{peer} {pairs:?}"
            );
        }
    }

    #[test]
    fn with_a_token_only_whoever_has_it_reads() {
        let access = Access { token: Some(SecretString::from("t0ken")), proxy: None };
        for (value, may) in [
            ("Bearer t0ken", true),
            ("bearer t0ken", true),
            ("Bearer t0ken2", false),
            ("Basic t0ken", false),
            // Any name, and the token as the password; the password may contain a colon.
            ("Basic YW55Ym9keTp0MGtlbg==", true),
            ("Basic OnQwa2Vu", true),
            ("Basic dDBrZW46", false),
            ("Basic ====", false),
            ("t0ken", false),
            ("", false),
        ] {
            let here = Peer("127.0.0.1:1".parse().unwrap());
            let headers = headers(&[("authorization", value), ("host", "localhost")]);
            assert_eq!(may_read(&access, here, &headers), may, "{value}");
        }
    }

    #[test]
    fn a_trusted_proxy_vouches_for_whom_it_names() {
        let network = |text: &str, bits| Network { address: text.parse().unwrap(), bits };
        let networks = vec![network("10.1.0.0", 16), network("fd00::1", 128)];
        let proxy = TrustedProxySettings { header: "x-forwarded-user".to_owned(), networks };
        let access = Access { token: Some(SecretString::from("t0ken")), proxy: Some(proxy) };
        for (peer, pairs, may) in [
            ("10.1.2.3:1", &[("x-forwarded-user", "ada")][..], true),
            ("[::ffff:10.1.2.3]:1", &[("x-forwarded-user", "ada")], true),
            ("[fd00::1]:1", &[("x-forwarded-user", "ada")], true),
            ("[fd00::2]:1", &[("x-forwarded-user", "ada")], false),
            ("10.2.2.3:1", &[("x-forwarded-user", "ada")], false),
            ("10.1.2.3:1", &[("x-forwarded-user", " ")], false),
            ("10.1.2.3:1", &[("x-remote-user", "ada")], false),
            ("127.0.0.1:1", &[("x-forwarded-user", "ada"), ("host", "localhost")], false),
        ] {
            assert_eq!(may_read(&access, Peer(peer.parse().unwrap()), &headers(pairs)), may, "{peer} {pairs:?}");
        }
        let mut two = headers(&[("x-forwarded-user", "ada")]);
        two.append("x-forwarded-user", "eve".parse().unwrap());
        assert!(!may_read(&access, Peer("10.1.2.3:1".parse().unwrap()), &two));
    }

    /// Where the proxy is on this machine, whoever it did not log in is not somebody on this machine.
    #[test]
    fn a_proxy_on_this_machine_vouches_or_nobody_does() {
        let networks = vec![Network { address: "127.0.0.1".parse().unwrap(), bits: 32 }];
        let proxy = Some(TrustedProxySettings { header: "x-forwarded-user".to_owned(), networks });
        let access = Access { token: None, proxy };
        for (peer, pairs, may) in [
            ("127.0.0.1:1", &[("host", "127.0.0.1:8080"), ("x-forwarded-user", "ada")][..], true),
            ("127.0.0.1:1", &[("host", "127.0.0.1:8080")], false),
            ("[::1]:1", &[("host", "localhost:8080")], true),
        ] {
            assert_eq!(may_read(&access, Peer(peer.parse().unwrap()), &headers(pairs)), may, "{peer} {pairs:?}");
        }
    }
}
