//! Bearer tokens: one cache per host, keyed by repository and credential; each token is fetched once for all who wait for it.
//!
//! Each repository has a slot with its own lock for each proof that is presented for it; whoever holds it fetches, and the others wait
//! and share the result, even a failure.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Maximum length of a token; those of real services have up to some kilobytes.
const MAX_TOKEN: usize = 16 << 10;
/// What all kept tokens of all hosts take up together. A token without room is used, and asked for again the next time.
const MAX_KEPT: usize = 16 << 20;
/// How many repositories of one host are known; of more, those that were used last.
const MAX_REPOSITORIES: usize = 10_000;

/// What the kept tokens take up.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// How many proofs a repository has slots for: proofs that are renewed leave their slots behind.
const MAX_PROOFS: usize = 8;

/// The tokens of one host, by repository.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<KnownRepositories>);

#[derive(Debug, Default)]
struct KnownRepositories {
    all: HashMap<String, OfRepository>,
    /// Grows with each use.
    uses: u64,
}

#[derive(Debug, Default)]
struct OfRepository {
    challenge: Option<Asked>,
    /// Which use was the last.
    used: u64,
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
    _room: TokenRoom,
}

/// What a token takes up of the room for all, until it is dropped.
#[derive(Debug)]
struct TokenRoom {
    of: &'static AtomicUsize,
    bytes: usize,
}

impl TokenRoom {
    fn take(of: &'static AtomicUsize, bytes: usize) -> Option<Self> {
        let more = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= MAX_KEPT);
        of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self { of, bytes })
    }
}

impl Drop for TokenRoom {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
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
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.uses += 1;
        let KnownRepositories { all, uses } = &mut *known;
        if !all.contains_key(repository) && all.len() >= MAX_REPOSITORIES {
            let oldest = all.iter().min_by_key(|(_, of)| of.used).map(|(oldest, _)| oldest.clone());
            drop(oldest.and_then(|oldest| all.remove(&oldest)));
        }
        let of = match all.get_mut(repository) {
            Some(of) => of,
            None => all.entry(repository.to_owned()).or_default(),
        };
        of.used = *uses;
        then(of)
    }

    /// Forgets the tokens and challenges of every repository but these.
    pub(super) fn forget(&self, named: &HashSet<&str>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.all.retain(|repository, _| named.contains(repository.as_str()));
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
                self.token = None;
                let room = TokenRoom::take(&KEPT, header.len());
                self.token = room.map(|room| Token { header: header.clone(), until: asked + life, _room: room });
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
    if token.len() > MAX_TOKEN {
        return Err("its token is longer than 16 KiB");
    }
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
    fn tokens_of_all_hosts_and_repositories_of_one_have_a_bound() {
        let long = |length: usize| format!("{{\"token\":\"{}\"}}", "x".repeat(length));
        assert!(read(long(MAX_TOKEN).as_bytes()).is_ok());
        assert!(read(long(MAX_TOKEN + 1).as_bytes()).unwrap_err().contains("16 KiB"));
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let all: Vec<TokenRoom> = std::iter::from_fn(|| TokenRoom::take(&ALL, MAX_TOKEN)).collect();
        assert_eq!(all.len(), MAX_KEPT / MAX_TOKEN);
        drop(all);
        assert!(TokenRoom::take(&ALL, MAX_TOKEN).is_some());
        let tokens = Tokens::default();
        let ann = Proof::Anonymous.id();
        let first = tokens.slot("first", &ann);
        for number in 0..MAX_REPOSITORIES + 10 {
            drop(tokens.slot(&number.to_string(), &ann));
            assert!(Arc::ptr_eq(&first, &tokens.slot("first", &ann)), "what is used stays");
        }
        assert_eq!(tokens.0.lock().unwrap().all.len(), MAX_REPOSITORIES);
        tokens.forget(&HashSet::from(["first", "unknown"]));
        assert_eq!(tokens.0.lock().unwrap().all.keys().collect::<Vec<_>>(), ["first"]);
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
