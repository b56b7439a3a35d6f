//! Which digests have been verified, so that nobody is asked about them again.
//!
//! Promise: what was proved once stays proved: a digest never stands for other content, and another key, identity or trusted root is
//! another question. What was refused is looked for again: at once for a while, since images are often signed a moment after they
//! are pushed, and after that at intervals.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest as hash};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{Digest, SignatureEvidence, Verification};
use crate::store::{Entry, Store};

/// The cache key for what was verified.
const KEY: &str = "verified-1";
/// How many proofs are kept.
const MOST: usize = 4_000;
/// How many refusals are kept.
const MOST_REFUSED: usize = 4_000;
/// For how long what was refused is looked for in every cycle ...
const AT_ONCE: SignedDuration = SignedDuration::from_mins(15);
/// ... and at which interval from then on.
const LATER: SignedDuration = SignedDuration::from_mins(5);

/// A question: a digest, what is demanded of it, and whom is believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct VerificationKey(String);

impl VerificationKey {
    pub(super) fn new(digest: &Digest, demand: &Verification, root: &str) -> Self {
        // The debug form quotes texts and names keys by their fingerprints, so that no two demands have the same one.
        let text = format!("{digest}\n{root}\n{demand:?}");
        Self(hash(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A proof, and when it was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    evidence: SignatureEvidence,
    at: Timestamp,
}

/// What was refused, or not answered, and since when.
#[derive(Debug, Clone)]
struct Negative {
    since: Timestamp,
    last: Timestamp,
    /// Why it was refused; `None` if there was no answer.
    reason: Option<String>,
}

/// What is known of digests.
#[derive(Debug, Default)]
pub(super) struct VerifiedMemory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    good: BTreeMap<VerificationKey, Kept>,
    changed: bool,
    bad: HashMap<VerificationKey, Negative>,
}

impl VerifiedMemory {
    pub(super) fn open(store: &Store) -> Self {
        let good = store.memory(KEY).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self(Mutex::new(Inner { good, ..Inner::default() }))
    }

    /// The proof of this very digest, if there was one.
    pub(super) fn proof(&self, key: &VerificationKey, digest: &Digest) -> Option<SignatureEvidence> {
        let inner = self.inner();
        let kept = inner.good.get(key)?;
        (kept.evidence.digest == *digest && !kept.evidence.proofs.is_empty()).then(|| kept.evidence.clone())
    }

    /// Why it was refused, if that need not be looked at again yet.
    pub(super) fn refusal(&self, key: &VerificationKey, now: Timestamp) -> Option<String> {
        let inner = self.inner();
        let known = inner.bad.get(key)?;
        let (long, lately) = (now.duration_since(known.since) >= AT_ONCE, now.duration_since(known.last));
        known.reason.clone().filter(|_| long && (SignedDuration::ZERO..LATER).contains(&lately))
    }

    pub(super) fn prove(&self, key: VerificationKey, evidence: SignatureEvidence, now: Timestamp) {
        let mut inner = self.inner();
        inner.bad.remove(&key);
        inner.good.insert(key, Kept { evidence, at: now });
        inner.changed = true;
        if inner.good.len() > MOST
            && let Some(oldest) = inner.good.iter().min_by_key(|(_, kept)| kept.at).map(|(key, _)| key.clone())
        {
            inner.good.remove(&oldest);
        }
    }

    /// Notes that it was refused, or with `None` not answered. Returns since when that is so.
    pub(super) fn refuse(&self, key: VerificationKey, reason: Option<String>, now: Timestamp) -> Timestamp {
        let mut inner = self.inner();
        if inner.bad.len() >= MOST_REFUSED && !inner.bad.contains_key(&key) {
            // Those that nobody asks about any more go first.
            let oldest = inner.bad.iter().min_by_key(|(_, known)| known.last).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| inner.bad.remove(&oldest));
        }
        let known = inner.bad.entry(key).or_insert(Negative { since: now, last: now, reason: None });
        // A refusal and a silence are two things, each with its own beginning.
        if known.reason.is_some() != reason.is_some() {
            known.since = now;
        }
        known.since = known.since.min(now);
        (known.last, known.reason) = (now, reason);
        known.since
    }

    /// What is to be stored, if something was proved since the last time.
    pub(super) fn news(&self) -> Option<Entry> {
        let mut inner = self.inner();
        if !std::mem::take(&mut inner.changed) {
            return None;
        }
        let bytes = serde_json::to_vec(&inner.good).ok()?;
        Some(Entry::Memory { key: KEY.to_owned(), bytes })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SignatureProof, SignedThing, Signer};

    fn digest(of: char) -> Digest {
        Digest::parse(&format!("sha256:{}", of.to_string().repeat(64))).unwrap()
    }

    fn demand(identity: &str, issuer: &str) -> Verification {
        let signer = Signer::Identity { identity: identity.to_owned(), issuer: issuer.to_owned() };
        Verification { signer, wanted: vec![SignedThing::Image] }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + minute * 60).unwrap()
    }

    fn evidence(of: char) -> SignatureEvidence {
        let proof = SignatureProof { what: SignedThing::Image, by: "x".to_owned(), log_index: Some(7) };
        SignatureEvidence { digest: digest(of), proofs: vec![proof] }
    }

    #[test]
    fn another_signer_root_or_digest_is_another_question() {
        let key = |of, identity: &str, issuer: &str, root: &str| {
            VerificationKey::new(&digest(of), &demand(identity, issuer), root)
        };
        let all = [
            key('a', "a", "b", "1"),
            key('b', "a", "b", "1"),
            key('a', "a", "b", "2"),
            key('a', "a\", issuer: \"b", "", "1"),
            key('a', "a", "", "1"),
        ];
        let different: std::collections::HashSet<&VerificationKey> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn what_is_proved_outlives_a_restart_and_what_is_refused_is_looked_for_again() {
        let store = Store::in_memory().unwrap();
        let key = VerificationKey::new(&digest('a'), &demand("a", "b"), "1");
        let memory = VerifiedMemory::open(&store);
        assert!(memory.news().is_none() && memory.proof(&key, &digest('a')).is_none());
        for minute in [0, 1, 14] {
            assert_eq!(memory.refuse(key.clone(), Some("no".to_owned()), at(minute)), at(0));
            assert_eq!(memory.refusal(&key, at(minute)), None, "for a while every cycle looks");
        }
        memory.refuse(key.clone(), Some("no".to_owned()), at(16));
        assert_eq!(memory.refusal(&key, at(17)).as_deref(), Some("no"));
        assert_eq!(memory.refusal(&key, at(21)), None, "and later at intervals");
        assert_eq!(memory.refuse(key.clone(), None, at(30)), at(30), "no answer is another state");
        assert_eq!(memory.refusal(&key, at(31)), None);
        memory.prove(key.clone(), evidence('a'), at(32));
        store.write(&[memory.news().unwrap()]).unwrap();
        let again = VerifiedMemory::open(&store);
        assert_eq!(again.proof(&key, &digest('a')), Some(evidence('a')));
        assert_eq!(again.proof(&key, &digest('b')), None, "whatever the cache says");
        assert!(again.news().is_none());
    }
}
