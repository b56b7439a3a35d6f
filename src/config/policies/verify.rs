//! What a policy, or a cap, demands of the signatures of images.

use std::sync::Arc;

use crate::config::at::At;
use crate::config::diagnostic::Diagnostic;
use crate::config::fault::Sink;
use crate::config::raw_policy as raw;
use crate::config::value;
use crate::model::{PredicateType, PublicKeys, SignedThing, Signer, Verification};
use crate::policy::{PinStyle, PolicySet, Sourced, Write};
use crate::select::Order;

use super::list;

/// How many attestations may be demanded of one image: each is named in every commit.
const MAX_ATTESTATIONS: usize = 5;

/// What is demanded. `None` if it is wrong; a file with an error is not used.
pub(in crate::config) fn verify(at: &At<raw::Verify>, sink: &mut Sink<'_>) -> Option<Sourced<Arc<Verification>>> {
    let raw = &at.value;
    if let Some(notation) = &raw.notation {
        let message = "signatures of Notation are not verified by this version";
        let hint = "sign with cosign and demand that, or let an admission controller check Notation's signatures";
        sink.error_with_hint(notation.mark, message, hint);
    }
    let Some(cosign) = &raw.cosign else {
        let message = "`verify` does not say whose signatures count";
        sink.error_with_hint(at.mark, message, "add `cosign: { key: … }`, or `cosign: { identity: …, issuer: … }`");
        return None;
    };
    let signer = signer(cosign, sink);
    let attestations = raw.attestations.as_ref().map(|at| list(at, sink, PredicateType::parse)).unwrap_or_default();
    if let Some(at) = raw.attestations.as_ref().filter(|_| attestations.len() > MAX_ATTESTATIONS) {
        sink.error(at.mark, format!("the list has more than {MAX_ATTESTATIONS} entries"));
    }
    let mut wanted: Vec<SignedThing> = attestations.into_iter().map(SignedThing::Attestation).collect();
    match &cosign.value.signature {
        Some(signature) if !signature.value => {
            if raw.attestations.is_none() {
                let message = "with `signature: false` and no `attestations`, nothing would be demanded";
                sink.error_with_hint(signature.mark, message, "add `attestations`, or leave out `signature`");
                return None;
            }
        }
        _ => wanted.push(SignedThing::Image),
    }
    wanted.sort();
    wanted.dedup();
    (!wanted.is_empty()).then_some(())?;
    let value = Arc::new(Verification { signer: signer?, wanted });
    Some(Sourced { value, origin: sink.origin(at.mark) })
}

fn signer(at: &At<raw::Cosign>, sink: &mut Sink<'_>) -> Option<Signer> {
    let raw = &at.value;
    match (&raw.key, &raw.identity, &raw.issuer) {
        (Some(key), None, None) => sink.read(key, |text| PublicKeys::parse(text)).map(|keys| Signer::Keys(keys.value)),
        (None, Some(identity), Some(issuer)) => {
            let identity = sink.read(identity, |text| exact(text));
            let issuer = sink.read(issuer, |text| exact(text));
            Some(Signer::Identity { identity: identity?.value, issuer: issuer?.value })
        }
        (Some(_), ..) => {
            let message = "`key` stands beside `identity` or `issuer`, but a signature is by a key or by an identity";
            sink.error_with_hint(at.mark, message, "keep one of the two");
            None
        }
        (None, identity, _) => {
            let message = match identity {
                None => "the signer has no `identity`, so that everybody whom the issuer knows would count",
                Some(_) => "the signer has no `issuer`, so that any issuer could confirm that identity",
            };
            let hint = "write `identity` and `issuer`, both exactly as the certificate has them, or `key`";
            sink.error_with_hint(at.mark, message, hint);
            None
        }
    }
}

/// Identities and issuers are compared as they are: what looks like a pattern would match nothing.
fn exact(text: &str) -> Result<String, String> {
    let text = value::line(text)?;
    if text.contains('*') {
        return Err(format!("`{text}` has a `*`, but identities and issuers are compared exactly, without patterns"));
    }
    Ok(text)
}

/// Policies that demand signatures of what they write without its digest.
pub(super) fn warnings(set: &PolicySet) -> Vec<Diagnostic> {
    let loose = set.policies().iter().filter_map(|policy| {
        let fields = &policy.fields;
        let verify = fields.verify.as_ref()?;
        let pins = fields.pin.as_ref().is_some_and(|pin| pin.value == PinStyle::Digest)
            || fields.tags.as_ref().is_some_and(|tags| tags.value.order == Order::Digest)
            || fields.write.as_ref().is_some_and(|write| write.value == Write::Never);
        (!pins).then_some(verify)
    });
    let message = "the signature is of a digest, but the policy writes tags, which can be moved to another image later";
    let hint = "add `pin: digest`, so that what was verified is what runs";
    loose.map(|verify| Diagnostic::warning(&verify.origin, message).with_hint(hint)).collect()
}
