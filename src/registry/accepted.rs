//! Which of a login's proofs a repository accepted, where that is not the first.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::login::SecretHash;

/// How long that is remembered: then the first is tried again, which may have been mended since.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The proofs that repositories accepted.
#[derive(Debug, Default)]
pub(super) struct Accepted(HashMap<String, (SecretHash, Instant)>);

impl Accepted {
    /// Forgets every repository but these.
    pub(super) fn forget(&mut self, named: &HashSet<&str>) {
        self.0.retain(|repository, _| named.contains(repository.as_str()));
    }

    /// The proof to begin with, if that is not the first.
    pub(super) fn of(&self, repository: &str, now: Instant) -> Option<SecretHash> {
        let (proof, since) = self.0.get(repository)?;
        (now.duration_since(*since) < REMEMBERED).then(|| proof.clone())
    }

    /// Remembers that the proof at this place was accepted; that it was accepted again prolongs nothing.
    pub(super) fn remember(&mut self, repository: &str, at: usize, proof: SecretHash, now: Instant) {
        if at == 0 {
            self.0.remove(repository);
        } else if self.of(repository, now).as_ref() != Some(&proof) {
            self.0.insert(repository.to_owned(), (proof, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::login::Proof;

    #[test]
    fn another_than_the_first_is_remembered_for_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (one, two) = (Proof::Refresh("one".into()).id(), Proof::Refresh("two".into()).id());
        let mut accepted = Accepted::default();
        accepted.remember("a", 1, one.clone(), start);
        assert_eq!((accepted.of("a", at(1)), accepted.of("b", at(1))), (Some(one.clone()), None));
        accepted.remember("a", 1, one.clone(), at(500));
        assert_eq!(accepted.of("a", at(601)), None);
        accepted.remember("a", 2, two.clone(), at(602));
        assert_eq!(accepted.of("a", at(603)), Some(two));
        accepted.remember("a", 0, one, at(604));
        assert_eq!(accepted.of("a", at(605)), None);
    }
}
