//! Signatures of images: whether what a registry holds proves what a policy demands.
//!
//! Promise: [`Search::verdict`] is [`SignatureVerdict::Verified`] only if a good signature of the demanded signer says each demanded
//! thing about the very digest that was asked about. Whatever else the documents say, their number and their order change
//! nothing about that: what is broken, foreign or hostile is refused on its own, with its reason, and the next one is looked at.
//!
//! Invariants: pure; nothing is believed before its signature is checked, and of what is believed nothing but the digest, the type and
//! the signer is used. A key given twice in a statement is an error, so that no two readers see different statements.
//!
//! Design: `statement` reads what is signed, `key_mode` and `keyless` check by whom.

mod key_mode;
mod keyless;
mod statement;

use crate::model::{
    Digest, Interest, SignatureDocument, SignatureEvidence, SignatureProof, SignatureVerdict, SignedThing, Signer,
    Verification,
};

pub use keyless::{TrustedRoot, TrustedRootError};

use statement::Claim;

/// How many reasons a refusal names.
const MOST_REASONS: usize = 4;

/// One look for the signatures of one image.
#[derive(Debug)]
pub struct Search<'a> {
    digest: &'a Digest,
    demand: &'a Verification,
    root: Option<&'a TrustedRoot>,
    proofs: Vec<SignatureProof>,
    /// Why documents did not count, with how many there were of each.
    refused: Vec<(Refusal, usize)>,
}

/// Why a document does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The demanded signer did not make it.
    OtherSigner(String),
    /// It is about another image.
    OtherDigest(String),
    /// It says something that nobody asked for.
    OtherThing(String),
    /// It cannot be read, or breaks a rule.
    Broken(String),
}

/// What a good signature says, and its number in the log.
pub(crate) struct Said {
    claim: Claim,
    log_index: Option<u64>,
}

impl<'a> Search<'a> {
    /// A search that has seen nothing yet. Keyless signatures are checked against `root`; without one, none of them counts.
    #[must_use]
    pub fn new(digest: &'a Digest, demand: &'a Verification, root: Option<&'a TrustedRoot>) -> Self {
        Self { digest, demand, root, proofs: Vec::new(), refused: Vec::new() }
    }

    /// Takes in a document.
    pub fn take(&mut self, document: &SignatureDocument) -> Interest {
        if let Err(refusal) = self.judge(document) {
            match self.refused.iter_mut().find(|(known, _)| *known == refusal) {
                Some((_, count)) => *count += 1,
                None => self.refused.push((refusal, 1)),
            }
        }
        if self.missing().next().is_none() { Interest::Enough } else { Interest::More }
    }

    /// The result.
    #[must_use]
    pub fn verdict(self) -> SignatureVerdict {
        let missing: Vec<String> = self.missing().map(ToString::to_string).collect();
        if missing.is_empty() {
            let Self { digest, mut proofs, .. } = self;
            // Documents come in any order; evidence does not.
            proofs.sort_by(|one, other| one.what.cmp(&other.what));
            return SignatureVerdict::Verified(SignatureEvidence { digest: digest.clone(), proofs });
        }
        let (missing_count, missing) = (missing.len(), missing.join(" and "));
        let (digest, signer) = (self.digest, &self.demand.signer);
        let reason = match self.refused.as_slice() {
            [] if self.demand.wanted.len() == missing_count => {
                format!("{digest} is not signed: its registry has no {missing} of it from anyone")
            }
            [] => format!("{digest} has no {missing}: its registry has none from anyone"),
            refused => format!("{digest} has no {missing} by {signer}: {}", reasons(refused)),
        };
        SignatureVerdict::Refused { reason }
    }

    fn missing(&self) -> impl Iterator<Item = &'a SignedThing> {
        self.demand.wanted.iter().filter(|wanted| !self.proofs.iter().any(|proof| proof.what == **wanted))
    }

    /// Adds what a document proves.
    fn judge(&mut self, document: &SignatureDocument) -> Result<(), Refusal> {
        if let SignatureDocument::Unusable { reason } = document {
            return Err(Refusal::Broken(reason.clone()));
        }
        let (said, by) = match &self.demand.signer {
            Signer::Keys(keys) => key_mode::said(keys, document)?,
            Signer::Identity { identity, issuer } => {
                let missing = || Refusal::Broken("there is no trusted root to check it against".to_owned());
                let root = self.root.ok_or_else(missing)?;
                let said = keyless::said(root, (identity, issuer), document, self.digest)?;
                (said, self.demand.signer.to_string())
            }
        };
        let Said { claim, log_index } = said;
        claim.is_about(self.digest)?;
        let means = |wanted: &&SignedThing| match wanted {
            SignedThing::Image => claim.is_signature(),
            SignedThing::Attestation(kind) => kind.is(claim.predicate_type()),
        };
        let mut meant = self.demand.wanted.iter().filter(means).peekable();
        if meant.peek().is_none() {
            return Err(Refusal::OtherThing(claim.describe()));
        }
        for what in meant {
            if !self.proofs.iter().any(|proof| proof.what == *what) {
                self.proofs.push(SignatureProof { what: what.clone(), by: by.clone(), log_index });
            }
        }
        Ok(())
    }
}

/// The reasons as text, those that tell most first.
fn reasons(refused: &[(Refusal, usize)]) -> String {
    let mut sorted: Vec<&(Refusal, usize)> = refused.iter().collect();
    sorted.sort_by_key(|(refusal, _)| match refusal {
        Refusal::OtherDigest(_) => 0,
        Refusal::OtherSigner(_) => 1,
        Refusal::Broken(_) => 2,
        Refusal::OtherThing(_) => 3,
    });
    let said = |(refusal, count): &(Refusal, usize)| {
        let (one, many, detail) = match refusal {
            Refusal::OtherSigner(detail) => ("one was made by somebody else", "were made by somebody else", detail),
            Refusal::OtherDigest(detail) => ("one is about another image", "are about another image", detail),
            Refusal::OtherThing(detail) => ("one says something else", "say something else", detail),
            Refusal::Broken(detail) => ("one cannot be used", "cannot be used", detail),
        };
        match (count, detail.as_str()) {
            (1, "") => one.to_owned(),
            (1, detail) => format!("{one} ({detail})"),
            (count, "") => format!("{count} {many}"),
            (count, detail) => format!("{count} {many} ({detail})"),
        }
    };
    let mut text = sorted.iter().take(MOST_REASONS).map(|one| said(one)).collect::<Vec<_>>().join("; ");
    if let Some(more) = sorted.len().checked_sub(MOST_REASONS).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more reasons"));
    }
    text
}

#[cfg(test)]
mod tests;
