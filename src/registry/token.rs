//! Bearer tokens: one cache per host, keyed by repository and credential; each token is fetched once for all who wait for it.
//!
//! Each repository has a slot with its own lock for each proof that is presented for it; whoever holds it fetches, and the others wait
//! and share the result, even a failure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::challenge::Bearer;
use super::host::Failure;
use super::login::SecretHash;

/// The lifetime of a token that does not specify one (Docker's token specification).
const DEFAULT_LIFE: u64 = 60;
/// A token is replaced this long before it expires at most.
const MARGIN: Duration = Duration::from_secs(30);
/// No token is used for longer than this, whatever it specifies.
const LONGEST_LIFE: u64 = 24 * 3600;

/// How many proofs a repository has slots for: proofs that are renewed leave their slots behind.
const MAX_PROOFS: usize = 8;

/// The tokens of one host, by repository.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<String, OfRepository>>);

#[derive(Debug, Default)]
struct OfRepository {
    challenge: Option<Asked>,
    /// The one used last is the last.
    slots: Vec<(SecretHash, Arc<Slot>)>,
}

/// A challenge of the registry, and the registry's address at that time.
pub(super) type Asked = (Bearer, Option<IpAddr>);

/// What is known about the token of one repository and proof.
pub(super) type Slot = tokio::sync::Mutex<State>;

#[derive(Debug, Default)]
pub(super) struct State {
    token: Option<Token>,
    failed: Option<(Instant, Failure)>,
}

/// A token as a header value that is marked as secret.
#[derive(Debug)]
struct Token {
    header: HeaderValue,
    until: Instant,
}

impl Tokens {
    /// The slot of a repository for this proof.
    pub(super) fn slot(&self, repository: &str, proof: &SecretHash) -> Arc<Slot> {
        self.of(repository, |of| {
            let at = of.slots.iter().position(|(known, _)| known == proof);
            let slot = at.map_or_else(Default::default, |at| of.slots.remove(at).1);
            if of.slots.len() >= MAX_PROOFS {
                drop(of.slots.remove(0));
            }
            of.slots.push((proof.clone(), Arc::clone(&slot)));
            slot
        })
    }

    /// The last challenge for a repository.
    pub(super) fn challenge(&self, repository: &str) -> Option<Asked> {
        self.of(repository, |of| of.challenge.clone())
    }

    pub(super) fn remember_challenge(&self, repository: &str, challenge: Asked) {
        self.of(repository, |of| of.challenge = Some(challenge));
    }

    fn of<T>(&self, repository: &str, then: impl FnOnce(&mut OfRepository) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(repository) {
            Some(of) => then(of),
            None => then(all.entry(repository.to_owned()).or_default()),
        }
    }
}

impl State {
    /// The token, unless it has expired or was just refused.
    pub(super) fn usable(&mut self, refused: Option<&HeaderValue>) -> Option<HeaderValue> {
        let dead = |token: &Token| token.until <= Instant::now() || refused == Some(&token.header);
        if self.token.as_ref().is_some_and(dead) {
            self.token = None;
        }
        self.token.as_ref().map(|token| token.header.clone())
    }

    /// Drops the token, which came from a proof that is no longer presented.
    pub(super) fn forget(&mut self) {
        (self.token, self.failed) = (None, None);
    }

    /// The failure of another attempt made after `since`.
    pub(super) fn shared_failure(&self, since: Instant) -> Option<Failure> {
        self.failed.as_ref().filter(|(at, _)| *at >= since).map(|(_, failure)| failure.clone())
    }

    /// Stores the result of a fetch that started at `asked`.
    pub(super) fn keep(
        &mut self,
        asked: Instant,
        fetched: Result<(HeaderValue, Duration), Failure>,
    ) -> Result<HeaderValue, Failure> {
        match fetched {
            Ok((header, life)) => {
                self.failed = None;
                self.token = Some(Token { header: header.clone(), until: asked + life });
                Ok(header)
            }
            Err(failure) => {
                self.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }
}

/// The URL for requesting a token.
pub(super) fn address(challenge: &Bearer, repository: &str) -> Url {
    let mut url = challenge.realm.clone();
    url.set_fragment(None);
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &challenge.service {
            query.append_pair("service", service);
        }
        // Several scopes come in one parameter, separated by spaces, and each is requested in a parameter of its own.
        for scope in scope(challenge, repository).split_ascii_whitespace() {
            query.append_pair("scope", scope);
        }
    }
    url
}

/// The scopes to request, separated by spaces.
pub(super) fn scope(challenge: &Bearer, repository: &str) -> String {
    challenge.scope.clone().unwrap_or_else(|| format!("repository:{repository}:pull"))
}

/// Parses a token service's answer: the header to send, and for how long.
pub(super) fn read(body: &[u8]) -> Result<(HeaderValue, Duration), &'static str> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<serde_json::Number>,
    }
    // The error message of a JSON parser may quote the answer, which is a secret.
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "its answer is not the JSON of a token")?;
    let some = |token: Option<String>| token.filter(|token| !token.is_empty());
    let token = some(answer.token).or(some(answer.access_token)).ok_or("its answer has no token")?;
    let mut header =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "its token has invalid characters")?;
    header.set_sensitive(true);
    let says = answer.expires_in.and_then(|number| number.as_u64().or_else(|| number.as_f64().map(|f| f as u64)));
    // Some services send zero or less for "unspecified".
    let life = Duration::from_secs(says.filter(|life| *life > 0).unwrap_or(DEFAULT_LIFE).min(LONGEST_LIFE));
    Ok((header, life.saturating_sub(MARGIN.min(life / 4))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::login::Proof;

    #[test]
    fn each_proof_has_a_slot_of_its_own_and_old_ones_go() {
        let (tokens, ann) = (Tokens::default(), Proof::Anonymous.id());
        let refresh = |token: String| Proof::Refresh(token.into()).id();
        let first = tokens.slot("a", &ann);
        assert!(Arc::ptr_eq(&first, &tokens.slot("a", &ann)));
        assert!(!Arc::ptr_eq(&first, &tokens.slot("b", &ann)));
        for number in 0..100 {
            assert!(!Arc::ptr_eq(&first, &tokens.slot("a", &refresh(number.to_string()))));
            assert!(Arc::ptr_eq(&first, &tokens.slot("a", &ann)));
        }
        assert_eq!(tokens.of("a", |of| of.slots.len()), MAX_PROOFS);
    }

    #[test]
    fn answers_are_read_with_their_time() {
        for (body, token, seconds) in [
            (r#"{"token":"a","expires_in":300}"#, "Bearer a", 270),
            (r#"{"access_token":"b","expires_in":60}"#, "Bearer b", 45),
            (r#"{"token":"c"}"#, "Bearer c", 45),
            (r#"{"token":"","access_token":"d","expires_in":null}"#, "Bearer d", 45),
            (r#"{"token":"e","expires_in":0}"#, "Bearer e", 45),
            (r#"{"token":"f","expires_in":-7}"#, "Bearer f", 45),
            (r#"{"token":"g","expires_in":99999999999}"#, "Bearer g", 86370),
            (r#"{"token":"h","expires_in":120.5}"#, "Bearer h", 90),
        ] {
            let (header, life) = read(body.as_bytes()).unwrap();
            assert_eq!((header.to_str().unwrap(), life.as_secs()), (token, seconds), "{body}");
            assert!(header.is_sensitive());
        }
    }

    #[test]
    fn bad_answers_are_errors_that_do_not_quote_them() {
        for body in
            ["", "null", "[]", "{}", "{\"token\":\"hunter2\\n\"}", "{\"token\":7, \"x\":\"hunter2\"}", "hunter2"]
        {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_scope_asked_for_is_the_one_in_the_challenge() {
        let mut bearer = Bearer {
            realm: Url::parse("https://auth.example.com/token?account=x").unwrap(),
            service: Some("r.example.com".to_owned()),
            scope: None,
        };
        assert_eq!(
            address(&bearer, "a/b").as_str(),
            "https://auth.example.com/token?account=x&service=r.example.com&scope=repository%3Aa%2Fb%3Apull"
        );
        bearer.scope = Some("repository:x/y:pull repository:z:pull".to_owned());
        assert!(
            address(&bearer, "a/b")
                .query()
                .unwrap()
                .ends_with("scope=repository%3Ax%2Fy%3Apull&scope=repository%3Az%3Apull")
        );
    }
}
