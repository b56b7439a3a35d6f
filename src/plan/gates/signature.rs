//! The signature gate: an image is written only once the policy's and the caps' signatures of that very digest are proved.
//!
//! It fails closed: what is unknown is held as what is not signed, and says so. Nobody opens it by hand: an image that is not signed is
//! never written by the bot, whoever asks.

use std::sync::Arc;

use crate::model::{Answer, Digest, ImageName, SignatureEvidence, SignatureProof, SignatureVerdict};
use crate::policy::Effective;

use super::GateHold;
use crate::plan::candidates::Choices;
use crate::plan::{Gate, Problem, RegistryQuery, Snapshot};

/// What is known of an image's signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) enum SignatureState {
    /// Nothing demands any.
    NotDemanded,
    /// The answers are missing and have been requested.
    Pending,
    /// Something demanded is not proved.
    Held(GateHold),
    /// Everything demanded is proved.
    Verified(SignatureEvidence),
}

/// Whether any policy or cap that applies demands signatures.
pub(in crate::plan) fn is_demanded(effective: &Effective) -> bool {
    effective.fields.verifications().next().is_some()
}

/// What is known of the signatures of the image that would be written.
pub(in crate::plan) fn state(
    snapshot: &Snapshot<'_>,
    effective: &Effective,
    (name, digest): (&ImageName, Option<&Digest>),
    choices: &mut Choices,
) -> SignatureState {
    if !is_demanded(effective) {
        return SignatureState::NotDemanded;
    }
    let Some(digest) = digest else {
        let reason = "it is unknown which digest would be written, so no signature of it can be verified".to_owned();
        return SignatureState::Held(GateHold::new(Gate::Signature, reason, None));
    };
    let mut proofs: Vec<SignatureProof> = Vec::new();
    let (mut pending, mut held) = (false, None);
    for demand in effective.fields.verifications() {
        let key = (name.clone(), digest.clone(), Arc::clone(&demand.value));
        let origin = format!("{}:{}", demand.origin.file, demand.origin.line);
        let reason = match snapshot.answers.signatures.get(&key) {
            None => {
                choices.queries.registry.insert(RegistryQuery::Signatures(key.0, key.1, key.2));
                pending = true;
                continue;
            }
            Some(Answer::Known(SignatureVerdict::Verified(found))) if found.digest == *digest => {
                proofs.extend(found.proofs.iter().filter(|proof| !proofs.contains(proof)).cloned().collect::<Vec<_>>());
                continue;
            }
            Some(Answer::Known(SignatureVerdict::Verified(found))) => {
                format!("the evidence is about {}, not about {digest} ({origin})", found.digest)
            }
            Some(Answer::Known(SignatureVerdict::Refused { reason })) => format!("{reason} (demanded by {origin})"),
            Some(Answer::Absent { message }) => {
                format!("no signature of {digest} is there: {message} (demanded by {origin})")
            }
            Some(Answer::Failed { message, code, .. }) => {
                choices.problems.push(Problem {
                    path: None,
                    line: None,
                    image: Some(name.clone()),
                    message: message.clone(),
                    code: Some(*code),
                });
                format!("{message} (demanded by {origin})")
            }
        };
        held.get_or_insert_with(|| GateHold::new(Gate::Signature, reason, None));
    }
    match held {
        Some(held) => SignatureState::Held(held),
        None if pending => SignatureState::Pending,
        None => SignatureState::Verified(SignatureEvidence { digest: digest.clone(), proofs }),
    }
}
