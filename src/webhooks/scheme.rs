//! How senders prove who they are: signatures of the body, secrets in headers or in the address, tokens.
//!
//! Promise: every comparison with a secret takes the same time wherever it fails. What can be decided by the headers
//! alone is decided before a body is read.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};

/// How far the time of a signed webhook may be from now (Standard Webhooks recommends five minutes).
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// How a kind of sender presents its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The HMAC of the body in hexadecimal, in one of these headers.
    Hmac(&'static [Signed]),
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,BASE64`. It covers the time.
    Standard,
    /// The secret itself in a header; in `Authorization` after `Bearer`, as a password, or alone.
    Header(&'static str),
    /// The secret as the last part of the address, for senders that have no other way.
    Address,
}

/// A header with an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) header: &'static str,
    /// What stands before the digits.
    pub(super) prefix: &'static str,
    pub(super) algorithm: Algorithm,
}

/// A hash function of HMACs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// What a request says besides its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestHead<'a> {
    pub(super) headers: &'a HeaderMap,
    /// The last part of the address, if there is one after the source's name.
    pub(super) secret: Option<&'a str>,
}

impl<'a> RequestHead<'a> {
    /// A header as text; empty if it is missing.
    pub(super) fn header(self, name: &str) -> &'a str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What the headers alone show about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderProof {
    /// It is from the sender.
    Proved,
    /// The body decides.
    Claimed,
    /// It is not from the sender.
    Refused,
}

impl Scheme {
    /// What the headers show.
    pub(super) fn look(self, head: RequestHead<'_>, secret: &SecretString, now: Timestamp) -> HeaderProof {
        let expected = secret.expose_secret();
        let proved = |given: bool| if given { HeaderProof::Proved } else { HeaderProof::Refused };
        match self {
            Self::Hmac(signatures) => match signatures.iter().any(|signed| signed.given(head).is_some()) {
                true => HeaderProof::Claimed,
                false => HeaderProof::Refused,
            },
            Self::Standard => match is_recent(head.header("webhook-timestamp"), now) {
                true => HeaderProof::Claimed,
                false => HeaderProof::Refused,
            },
            Self::Header(name) => proved(has_secret(head.header(name), expected)),
            Self::Address => proved(head.secret.is_some_and(|given| same(given, expected))),
        }
    }

    /// Whether the body was signed with this secret; only called where the headers claim so.
    pub(super) fn verify(self, head: RequestHead<'_>, body: &[u8], secret: &SecretString) -> bool {
        match self {
            Self::Hmac(signatures) => signatures.iter().any(|signed| signed.verify(head, body, secret)),
            Self::Standard => verify_standard(head, body, secret),
            Self::Header(_) | Self::Address => false,
        }
    }
}

impl Signed {
    /// The signature in the header, if there is one that could be right.
    fn given(self, head: RequestHead<'_>) -> Option<Vec<u8>> {
        decode_hex(head.header(self.header).strip_prefix(self.prefix)?)
    }

    fn verify(self, head: RequestHead<'_>, body: &[u8], secret: &SecretString) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => hmac::HMAC_SHA256,
            Algorithm::Sha512 => hmac::HMAC_SHA512,
        };
        let key = hmac::Key::new(algorithm, secret.expose_secret().as_bytes());
        self.given(head).is_some_and(|given| hmac::verify(&key, body, &given).is_ok())
    }
}

/// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`; the key may be written `whsec_BASE64`. Several signatures
/// are separated by spaces.
fn verify_standard(head: RequestHead<'_>, body: &[u8], secret: &SecretString) -> bool {
    let secret = secret.expose_secret();
    let key = secret.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_deref().unwrap_or(secret.as_bytes()));
    let signed = format!("{}.{}.", head.header("webhook-id"), head.header("webhook-timestamp"));
    let signed = [signed.as_bytes(), body].concat();
    let given = head.header("webhook-signature").split(' ').take(8);
    let mut given = given.filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    given.any(|given| hmac::verify(&key, &signed, &given).is_ok())
}

/// Whether a Unix time in seconds is within the tolerance.
fn is_recent(time: &str, now: Timestamp) -> bool {
    let time = time.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.is_some_and(|time| now.duration_since(time).abs() <= TOLERANCE)
}

/// Whether a header has the secret: alone, after `Bearer`, or as the password of a basic login with any name.
fn has_secret(header: &str, secret: &str) -> bool {
    let (scheme, rest) = header.split_once(' ').unwrap_or(("", header));
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => same(rest.trim(), secret) || same(header, secret),
        "basic" => {
            let login = STANDARD.decode(rest.trim()).ok().and_then(|login| String::from_utf8(login).ok());
            login.is_some_and(|login| login.split_once(':').is_some_and(|(_, password)| same(password, secret)))
                || same(header, secret)
        }
        _ => same(header, secret),
    }
}

fn same(given: &str, expected: &str) -> bool {
    verify_slices_are_equal(given.as_bytes(), expected.as_bytes()).is_ok()
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    // The longest is SHA-512's.
    if text.is_empty() || text.len() > 128 || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pairs: &[(&'static str, String)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn look(scheme: Scheme, headers: &HeaderMap, secret: Option<&str>) -> HeaderProof {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        scheme.look(RequestHead { headers, secret }, &"s3cret".into(), now)
    }

    #[test]
    fn a_secret_in_a_header_is_found_in_each_usual_form_and_nowhere_else() {
        let scheme = Scheme::Header("authorization");
        let basic = |login: &str| format!("Basic {}", STANDARD.encode(login));
        for (value, shown) in [
            ("s3cret".to_owned(), HeaderProof::Proved),
            ("Bearer s3cret".to_owned(), HeaderProof::Proved),
            ("bearer  s3cret".to_owned(), HeaderProof::Proved),
            (basic("any:s3cret"), HeaderProof::Proved),
            (basic("s3cret:other"), HeaderProof::Refused),
            (basic("s3cret"), HeaderProof::Refused),
            ("Basic !!".to_owned(), HeaderProof::Refused),
            ("s3cret2".to_owned(), HeaderProof::Refused),
            ("S3cret".to_owned(), HeaderProof::Refused),
            (String::new(), HeaderProof::Refused),
        ] {
            assert_eq!(look(scheme, &head(&[("authorization", value.clone())]), None), shown, "{value}");
        }
        assert_eq!(look(scheme, &HeaderMap::new(), Some("s3cret")), HeaderProof::Refused, "the address is no header");
        assert_eq!(look(Scheme::Address, &HeaderMap::new(), Some("s3cret")), HeaderProof::Proved);
        assert_eq!(look(Scheme::Address, &HeaderMap::new(), Some("other")), HeaderProof::Refused);
        assert_eq!(look(Scheme::Address, &HeaderMap::new(), None), HeaderProof::Refused);
    }

    #[test]
    fn a_signature_holds_for_its_body_and_its_secret_alone() {
        const SIGNED: Signed = Signed { header: "x-sig", prefix: "sha256=", algorithm: Algorithm::Sha256 };
        let scheme = Scheme::Hmac(&[SIGNED]);
        // RFC 4231, test case 2.
        let good = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let (body, jefe) = (b"what do ya want for nothing?", SecretString::from("Jefe"));
        let verify = |value: &str, body: &[u8], secret: &SecretString| {
            let headers = head(&[("x-sig", value.to_owned())]);
            let head = RequestHead { headers: &headers, secret: None };
            scheme.look(head, secret, Timestamp::UNIX_EPOCH) == HeaderProof::Claimed
                && scheme.verify(head, body, secret)
        };
        assert!(verify(good, body, &jefe));
        assert!(verify(&good.to_uppercase().replace("SHA256=", "sha256="), body, &jefe));
        assert!(!verify(good, b"what do ya want for nothing!", &jefe));
        assert!(!verify(good, body, &"Jeff".into()));
        for wrong in
            ["", "sha256=", "sha256=5b", "sha1=5bdc", "5bdcc146", "sha256=zz", "sha256=é", &good[..good.len() - 2]]
        {
            let headers = http::HeaderValue::from_bytes(wrong.as_bytes()).map(|value| {
                let mut headers = HeaderMap::new();
                headers.insert("x-sig", value);
                headers
            });
            let headers = headers.unwrap();
            let head = RequestHead { headers: &headers, secret: None };
            assert!(!scheme.verify(head, body, &jefe), "{wrong}");
        }
        assert_eq!(look(scheme, &HeaderMap::new(), None), HeaderProof::Refused, "before any body is read");
    }

    #[test]
    fn a_standard_webhook_is_good_for_five_minutes() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
        let tag = hmac::sign(&key, b"msg_1.1790000000.{}");
        let signature = format!("v1,AAAA v1,{}", STANDARD.encode(tag.as_ref()));
        let headers = head(&[
            ("webhook-id", "msg_1".to_owned()),
            ("webhook-timestamp", "1790000000".to_owned()),
            ("webhook-signature", signature),
        ]);
        let head = RequestHead { headers: &headers, secret: None };
        let secret = SecretString::from("s3cret");
        for (seconds, shown) in [
            (0, HeaderProof::Claimed),
            (299, HeaderProof::Claimed),
            (301, HeaderProof::Refused),
            (-301, HeaderProof::Refused),
        ] {
            assert_eq!(
                Scheme::Standard.look(head, &secret, now + SignedDuration::from_secs(seconds)),
                shown,
                "{seconds}"
            );
        }
        assert!(Scheme::Standard.verify(head, b"{}", &secret));
        assert!(!Scheme::Standard.verify(head, b"{} ", &secret));
        let encoded = SecretString::from(format!("whsec_{}", STANDARD.encode("s3cret")));
        assert!(Scheme::Standard.verify(head, b"{}", &encoded));
    }
}
