//! Tokens that Google signs for Pub/Sub push subscriptions: RS256, with claims about sender and receiver.
//!
//! Source: "Authentication for push subscriptions" (Pub/Sub) and "OpenID Connect" (Google Identity): the issuer is
//! `https://accounts.google.com` or `accounts.google.com`; `aud` is the subscription's audience, `email` its service
//! account, and `email_verified` must be true. Checking the signature alone would let any Google account in
//! (CVE-2026-40109 in Flux).

use std::collections::HashMap;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

/// Who may have issued a token.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// How far the issuer's clock may be from ours, in seconds.
const SKEW: i64 = 60;
/// Longer tokens are none.
const MAX_TOKEN: usize = 8192;
/// Maximum number of keys of an issuer.
const MAX_KEYS: usize = 64;

/// The public keys of an issuer by id: modulus and exponent.
pub(super) type Keys = HashMap<String, (Vec<u8>, Vec<u8>)>;

/// Reads a set of keys (RFC 7517); keys that are not for RSA are left out.
pub(super) fn keys(body: &[u8]) -> Option<Keys> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        kid: Option<String>,
        kty: Option<String>,
        n: Option<String>,
        e: Option<String>,
    }
    let set: Set = serde_json::from_slice(body).ok()?;
    let keys = set.keys.into_iter().take(MAX_KEYS).filter(|key| key.kty.as_deref() == Some("RSA"));
    let keys = keys.filter_map(|key| {
        let decode = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
        Some((key.kid?, (decode(key.n)?, decode(key.e)?)))
    });
    Some(keys.collect()).filter(|keys: &Keys| !keys.is_empty())
}

/// A token, taken apart but not believed.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// What is signed: header and claims as they were sent.
    signed: &'a str,
    signature: Vec<u8>,
    /// The id of the key that it claims to be signed with.
    pub(super) key: String,
    claims: Vec<u8>,
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) audience: &'a str,
    pub(super) email: &'a str,
    pub(super) now: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: i64,
    iat: Option<i64>,
    email: Option<String>,
    email_verified: Option<bool>,
}

impl<'a> Token<'a> {
    /// Takes apart the value of an `Authorization` header; `None` if it is no RS256 token.
    pub(super) fn parse(header: &'a str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: String,
        }
        let (scheme, token) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = token.trim().rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        // Any other algorithm, `none` and those with a shared key above all, would let others sign.
        if head.alg != "RS256" {
            return None;
        }
        let (signature, claims) = (URL_SAFE_NO_PAD.decode(signature).ok()?, URL_SAFE_NO_PAD.decode(claims).ok()?);
        Some(Self { signed, signature, key: head.kid, claims })
    }

    /// Whether it is signed with its key and says what is expected.
    pub(super) fn proves(&self, keys: &Keys, expected: Expected<'_>) -> bool {
        let Some((n, e)) = keys.get(&self.key) else { return false };
        let key = RsaPublicKeyComponents { n: n.as_slice(), e: e.as_slice() };
        if key.verify(&RSA_PKCS1_2048_8192_SHA256, self.signed.as_bytes(), &self.signature).is_err() {
            return false;
        }
        let Ok(claims) = serde_json::from_slice::<Claims>(&self.claims) else { return false };
        let now = expected.now.as_second();
        ISSUERS.contains(&claims.iss.as_str())
            && claims.aud == expected.audience
            && claims.email.as_deref() == Some(expected.email)
            && claims.email_verified == Some(true)
            && now < claims.exp.saturating_add(SKEW)
            && claims.iat.is_none_or(|at| at <= now.saturating_add(SKEW))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use serde_json::{Value, json};

    use super::*;

    /// An issuer of tests: its key pair and its published keys.
    pub(in crate::webhooks) fn issuer() -> (KeyPair, Vec<u8>) {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = pair.public_key();
        let key = json!({ "kid": "k1", "kty": "RSA", "alg": "RS256", "use": "sig",
            "n": encode(public.modulus().big_endian_without_leading_zero()),
            "e": encode(public.exponent().big_endian_without_leading_zero()) });
        assert!(public.as_der().is_ok());
        (pair, json!({ "keys": [{ "kid": "ec", "kty": "EC" }, key] }).to_string().into_bytes())
    }

    pub(in crate::webhooks) fn token(pair: &KeyPair, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn with(mut claims: Value, key: &str, value: Value) -> Value {
        claims[key] = value;
        claims
    }

    #[test]
    fn a_token_must_be_signed_and_say_everything_that_is_expected() {
        let (pair, published) = issuer();
        let (stranger, _) = issuer();
        let keys = keys(&published).unwrap();
        assert_eq!(keys.len(), 1);
        let header = json!({ "alg": "RS256", "kid": "k1" });
        let claims = json!({ "iss": "https://accounts.google.com", "aud": "https://bot.example/webhooks/gar", "iat": 1000,
            "exp": 4600, "email": "push@acme.iam.gserviceaccount.com", "email_verified": true, "sub": "1" });
        let proves = |token: &str, now: i64| {
            let expected = Expected {
                audience: "https://bot.example/webhooks/gar",
                email: "push@acme.iam.gserviceaccount.com",
                now: Timestamp::from_second(now).unwrap(),
            };
            Token::parse(token).is_some_and(|token| token.proves(&keys, expected))
        };
        let good = token(&pair, &header, &claims);
        assert!(proves(&good, 1000) && proves(&good, 4650) && !proves(&good, 4700), "it expires");
        assert!(!proves(&good, 900), "it is from the future");
        assert!(proves(&token(&pair, &header, &with(claims.clone(), "iss", json!("accounts.google.com"))), 1000));
        for (key, value) in [
            ("iss", json!("https://accounts.example.com")),
            ("aud", json!("https://other.example")),
            ("email", json!("other@acme.iam.gserviceaccount.com")),
            ("email", Value::Null),
            ("email_verified", json!(false)),
            ("email_verified", Value::Null),
            ("exp", json!("never")),
        ] {
            assert!(!proves(&token(&pair, &header, &with(claims.clone(), key, value.clone())), 1000), "{key}: {value}");
        }
        assert!(!proves(&token(&stranger, &header, &claims), 1000), "signed by another");
        for header in [
            json!({ "alg": "none", "kid": "k1" }),
            json!({ "alg": "HS256", "kid": "k1" }),
            json!({ "alg": "RS256", "kid": "k2" }),
        ] {
            assert!(!proves(&token(&pair, &header, &claims), 1000), "{header}");
        }
        let (signed, _) = good.rsplit_once('.').unwrap();
        for wrong in [signed, &format!("{signed}."), "Bearer a.b.c", "Bearer", "", "Basic abc"] {
            assert!(!proves(wrong, 1000), "{wrong}");
        }
    }
}
