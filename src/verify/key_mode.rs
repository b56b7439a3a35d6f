//! Signatures by a key. A transparency log is not needed: who has the key is who signs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;

use super::statement::{Claim, IN_TOTO, short};
use super::{Refusal, Said};
use crate::model::{PublicKeys, SignatureDocument};

/// How many signatures one envelope may have.
const MAX_SIGNATURES: usize = 8;

/// An envelope (DSSE, as protobuf's JSON has it in a bundle).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// What a document says, if one of these keys has signed it, and which one.
pub(super) fn said(keys: &PublicKeys, document: &SignatureDocument) -> Result<(Said, String), Refusal> {
    let (claim, by) = match document {
        SignatureDocument::Bundle(body) => {
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            struct Bundle {
                dsse_envelope: Option<Envelope>,
            }
            let Bundle { dsse_envelope } = read(body)?;
            let missing = || Refusal::Broken("its bundle signs bytes, not a statement about an image".to_owned());
            enveloped(keys, &dsse_envelope.ok_or_else(missing)?)?
        }
        SignatureDocument::Envelope { body, .. } => enveloped(keys, &read(body)?)?,
        SignatureDocument::Simple { payload, signature, .. } => {
            let signature = decoded(signature)?;
            let key = keys.signer_of(payload, &signature).ok_or_else(other_key)?;
            (Claim::simple(payload)?, key.fingerprint())
        }
        SignatureDocument::Unusable { reason } => return Err(Refusal::Broken(reason.clone())),
    };
    // What the log says is not checked here, so nothing of it is evidence.
    Ok((Said { claim, log_index: None }, format!("key {by}")))
}

fn enveloped(keys: &PublicKeys, envelope: &Envelope) -> Result<(Claim, String), Refusal> {
    if envelope.payload_type != IN_TOTO {
        return Err(Refusal::Broken(format!("its payload is `{}`, not in-toto's", short(&envelope.payload_type))));
    }
    if envelope.signatures.len() > MAX_SIGNATURES {
        return Err(Refusal::Broken(format!("its envelope has more than {MAX_SIGNATURES} signatures")));
    }
    let payload = decoded(&envelope.payload)?;
    let message = pre_authentication(&envelope.payload_type, &payload);
    for EnvelopeSignature { sig } in &envelope.signatures {
        let Ok(signature) = decoded(sig) else { continue };
        if let Some(key) = keys.signer_of(&message, &signature) {
            return Ok((Claim::statement(&payload)?, key.fingerprint()));
        }
    }
    Err(other_key())
}

fn other_key() -> Refusal {
    Refusal::OtherSigner("none of the keys fits its signature".to_owned())
}

/// What DSSE signs (its protocol, version 1).
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::Broken(format!("its JSON cannot be read: {}", short(&error.to_string()))))
}

fn decoded(text: &str) -> Result<Vec<u8>, Refusal> {
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.map_err(|_| Refusal::Broken("its base64 cannot be read".to_owned()))
}
