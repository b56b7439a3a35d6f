//! Keyless signatures (Sigstore): by a certificate that was issued to an identity for some minutes.
//!
//! Nothing is asked of anybody: the certificate, the transparency log's promise and the timestamps in the document are checked against
//! a trusted root that the operator has, whole and offline. Both the identity and its issuer are compared, exactly.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_verify::trust_root::{SigstoreInstance, TrustedRoot as Root};
use sigstore_verify::types::{ArtifactDigest, Bundle, HashAlgorithm, KindVersion, SignatureContent};
use sigstore_verify::{Error, VerificationPolicy, Verifier};

use super::statement::{Claim, short};
use super::{Refusal, Said};
use crate::model::{BesideSignature, Digest, SignatureDocument};

/// How many certificates a chain beside a signature may have.
const MAX_CHAIN: usize = 8;

/// The authorities whose certificates, logs and timestamps count.
pub struct TrustedRoot {
    verifier: Verifier,
    /// The SHA-256 of its file: what was verified against another root is verified again.
    fingerprint: String,
    /// Whether it has a transparency log, and one of certificates. What the operator's own root has none of is not demanded.
    logs: Logs,
}

#[derive(Debug, Clone, Copy)]
struct Logs {
    signatures: bool,
    certificates: bool,
}

/// Why a trusted root cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("it is not a trusted root of Sigstore (trusted_root.json): {0}")]
pub struct TrustedRootError(String);

impl fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedRoot({})", self.fingerprint)
    }
}

impl TrustedRoot {
    /// Reads a trusted root (`trusted_root.json`, as Sigstore's TUF repository and private instances publish it).
    ///
    /// # Errors
    /// When it cannot be read, or one of its keys or certificates cannot be used.
    pub fn parse(json: &str) -> Result<Self, TrustedRootError> {
        let wrong = |error: &dyn fmt::Display| TrustedRootError(short(&error.to_string()));
        let root = Root::from_json(json).map_err(|error| wrong(&error))?;
        if root.certificate_authorities.is_empty() {
            return Err(TrustedRootError("it names no certificate authority".to_owned()));
        }
        let logs = Logs { signatures: !root.tlogs.is_empty(), certificates: !root.ctlogs.is_empty() };
        let verifier = Verifier::new(&root).map_err(|error| wrong(&error))?;
        let hash = digest(&SHA256, json.as_bytes());
        let fingerprint = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { verifier, fingerprint, logs })
    }

    /// The root of Sigstore's public instance, as it was when this version of the bot was built.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn public() -> Result<Self, TrustedRootError> {
        Self::parse(SigstoreInstance::PublicGood.embedded_trusted_root_json())
    }

    /// What it is known by.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// What a document says, if exactly this identity of this issuer has signed it.
pub(super) fn said(
    root: &TrustedRoot,
    (identity, issuer): (&str, &str),
    document: &SignatureDocument,
    digest: &Digest,
) -> Result<Said, Refusal> {
    let text;
    let (json, payload) = match document {
        SignatureDocument::Bundle(body) => {
            let json = std::str::from_utf8(body).map_err(|_| Refusal::Broken("its JSON is not UTF-8".to_owned()))?;
            (json, None)
        }
        SignatureDocument::Simple { payload, signature, beside } => {
            let hash = aws_lc_rs::digest::digest(&SHA256, payload);
            let content = json!({ "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(hash) }, "signature": signature });
            text = bundled(beside, "messageSignature", &content)?;
            (text.as_str(), Some(payload))
        }
        SignatureDocument::Envelope { body, beside } => {
            let content: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
            text = bundled(beside, "dsseEnvelope", &content)?;
            (text.as_str(), None)
        }
        SignatureDocument::Unusable { reason } => return Err(Refusal::Broken(reason.clone())),
    };
    let bundle = Bundle::from_json(json).map_err(|error| unreadable(&error))?;
    let mut policy = VerificationPolicy::new(identity, issuer);
    if !root.logs.signatures {
        policy = policy.skip_tlog_unsafe();
    }
    if !root.logs.certificates {
        policy = policy.skip_sct();
    }
    let (result, claim) = match (&bundle.content, payload) {
        (SignatureContent::DsseEnvelope(envelope), _) => {
            let claim = Claim::statement(envelope.payload.as_bytes())?;
            // That it is about the digest is checked there and, for another message, by the caller.
            let result = root.verifier.verify(artifact(digest)?, &bundle, &policy);
            (result, claim)
        }
        (SignatureContent::MessageSignature(_), Some(payload)) => {
            (root.verifier.verify(payload.as_slice(), &bundle, &policy), Claim::simple(payload)?)
        }
        _ => return Err(Refusal::Broken("its bundle signs bytes, not a statement about an image".to_owned())),
    };
    let result = match result {
        // Which other image it is about is said by the claim.
        Err(Error::ArtifactMismatch(_)) => {
            claim.is_about(digest)?;
            return Err(Refusal::OtherDigest(String::new()));
        }
        result => result.map_err(|error| refusal(&error))?,
    };
    // Belt and braces: a default of the library that accepts everybody must not become ours.
    if !result.certificate_verified() || !result.identity_policy_checked() {
        return Err(Refusal::Broken("its certificate was not verified".to_owned()));
    }
    let log_index = bundle.verification_material.tlog_entries.first().filter(|entry| {
        // In the first version of the log, only its promise proves the number.
        result.tlog_verified()
            && (entry.inclusion_promise.is_some() || entry.kind_version == KindVersion::HashedRekordV002)
    });
    Ok(Said { claim, log_index: log_index.map(|entry| entry.log_index.get()) })
}

fn artifact(digest: &Digest) -> Result<ArtifactDigest, Refusal> {
    let bad = || Refusal::Broken("the image's digest cannot be compared".to_owned());
    let (algorithm, hex) = digest.as_str().split_once(':').ok_or_else(bad)?;
    let algorithm = match algorithm {
        "sha512" => HashAlgorithm::Sha2512,
        _ => HashAlgorithm::Sha2256,
    };
    let byte = |at: usize| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map_while(byte).collect();
    ArtifactDigest::new(algorithm, bytes).map_err(|_| bad())
}

/// The bundle that says what cosign wrote beside a signature before there were bundles.
fn bundled(beside: &BesideSignature, kind: &str, content: &Value) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Log {
        signed_entry_timestamp: String,
        payload: Entry,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        body: String,
        integrated_time: i64,
        log_index: u64,
        #[serde(rename = "logID")]
        log_id: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        api_version: String,
        kind: String,
    }
    let absent = |what: &str| Refusal::OtherSigner(format!("it has no {what} beside it, so a key made it"));
    let certificate = beside.certificate.as_deref().ok_or_else(|| absent("certificate"))?;
    let log = beside.log.as_deref().ok_or_else(|| absent("promise of a transparency log"))?;
    let certificates: Vec<Value> = certificates(certificate)
        .into_iter()
        .chain(beside.chain.as_deref().map(certificates).unwrap_or_default())
        .take(MAX_CHAIN)
        .map(|der| json!({ "rawBytes": der }))
        .collect();
    let Log { signed_entry_timestamp, payload } = serde_json::from_str(log).map_err(|error| unreadable(&error))?;
    let id: Option<Vec<u8>> = (0..payload.log_id.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(payload.log_id.get(at..at + 2)?, 16).ok())
        .collect();
    let id = id.ok_or_else(|| Refusal::Broken("the log's id beside it is not hexadecimal".to_owned()))?;
    let body = STANDARD.decode(&payload.body).ok().and_then(|body| serde_json::from_slice::<Body>(&body).ok());
    let body = body.ok_or_else(|| Refusal::Broken("the log's entry beside it cannot be read".to_owned()))?;
    let entry = json!({
        "logIndex": payload.log_index.to_string(),
        "logId": { "keyId": STANDARD.encode(id) },
        "kindVersion": { "kind": body.kind, "version": body.api_version },
        "integratedTime": payload.integrated_time.to_string(),
        "inclusionPromise": { "signedEntryTimestamp": signed_entry_timestamp },
        "canonicalizedBody": payload.body,
    });
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": { "x509CertificateChain": { "certificates": certificates }, "tlogEntries": [entry] },
        kind: content,
    });
    Ok(bundle.to_string())
}

/// The certificates of a text in PEM, each in base64.
fn certificates(pem: &str) -> Vec<String> {
    let bodies = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    bodies
        .filter_map(|rest| rest.split("-----END").next())
        .map(|body| body.split_ascii_whitespace().collect())
        .collect()
}

fn unreadable(error: &dyn fmt::Display) -> Refusal {
    Refusal::Broken(format!("its bundle cannot be read: {}", short(&error.to_string())))
}

/// Why a bundle does not count, in order of what a person can do about it.
fn refusal(error: &Error) -> Refusal {
    let said = short(&error.to_string());
    match error {
        Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => Refusal::OtherSigner(said),
        Error::UnsupportedBundle(_) if said.contains("certificate") => {
            Refusal::OtherSigner(format!("a key made it: {said}"))
        }
        _ => Refusal::Broken(said),
    }
}
