//! What is demanded of an image's signatures, and what was found of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Digest, PublicKeys};

/// What a policy, or a cap, demands of an image before it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Verification {
    /// Whose signatures count.
    pub signer: Signer,
    /// What must be signed; at least one, without duplicates, in order.
    pub wanted: Vec<SignedThing>,
}

/// Whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signer {
    /// Those of any one of these keys.
    Keys(PublicKeys),
    /// Those of exactly this identity, as this issuer has confirmed it to the certificate authority (keyless).
    Identity {
        /// The certificate's subject: an address, or the URI of a workflow.
        identity: String,
        /// The OpenID issuer.
        issuer: String,
    },
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(keys) => match keys.fingerprints().collect::<Vec<_>>().as_slice() {
                [one] => write!(f, "key {one}"),
                several => write!(f, "one of the keys {}", several.join(", ")),
            },
            Self::Identity { identity, issuer } => write!(f, "{identity} ({issuer})"),
        }
    }
}

/// What a signature says about an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SignedThing {
    /// That it is the signer's image.
    Image,
    /// A statement of this type (in-toto's `predicateType`) about it.
    Attestation(PredicateType),
}

impl fmt::Display for SignedThing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image => f.write_str("signature"),
            Self::Attestation(kind) => write!(f, "attestation {kind}"),
        }
    }
}

/// The type of an attestation: a URI, or a short name of cosign for one or several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PredicateType(String);

/// The predicate type of cosign's own signatures of images.
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// Short names, as `cosign attest --type` knows them, and the types that each stands for.
const SHORT: &[(&str, &[&str])] = &[
    ("slsaprovenance", &["https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1"]),
    ("slsaprovenance02", &["https://slsa.dev/provenance/v0.2"]),
    ("slsaprovenance1", &["https://slsa.dev/provenance/v1"]),
    ("spdx", &["https://spdx.dev/Document", "https://spdx.dev/Document/v2.3"]),
    ("spdxjson", &["https://spdx.dev/Document", "https://spdx.dev/Document/v2.3"]),
    ("cyclonedx", &["https://cyclonedx.org/bom"]),
    ("link", &["https://in-toto.io/Link/v1"]),
    ("vuln", &["https://cosign.sigstore.dev/attestation/vuln/v1"]),
    ("openvex", &["https://openvex.dev/ns", "https://openvex.dev/ns/v0.2.0"]),
    ("custom", &["https://cosign.sigstore.dev/attestation/v1"]),
];
/// Longest type that is taken.
const MAX_TYPE: usize = 200;

impl PredicateType {
    /// Parses a short name, or a URI.
    ///
    /// # Errors
    /// When it is neither, or stands for a plain signature.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == COSIGN_SIGN {
            return Err(format!("`{text}` is cosign's own type for signatures, which `cosign` demands already"));
        }
        let is_uri = (text.starts_with("https://") || text.starts_with("http://"))
            && text.len() <= MAX_TYPE
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_uri || SHORT.iter().any(|(name, _)| *name == text) {
            return Ok(Self(text.to_owned()));
        }
        let names = SHORT.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        Err(format!("`{text}` is no type of attestation; write its URI (https://…), or one of {names}"))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a statement of this type is meant.
    #[must_use]
    pub fn is(&self, predicate_type: &str) -> bool {
        match SHORT.iter().find(|(name, _)| *name == self.0) {
            Some((_, types)) => types.contains(&predicate_type),
            None => self.0 == predicate_type,
        }
    }
}

impl fmt::Display for PredicateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of looking for an image's signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureVerdict {
    /// Everything demanded is there and good.
    Verified(SignatureEvidence),
    /// Something is missing, or what is there does not count.
    Refused {
        /// What, and why, for people.
        reason: String,
    },
}

/// What proves an image's signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureEvidence {
    /// The digest that was signed: that of the index, if the tag stands for one.
    pub digest: Digest,
    /// What was signed, and by whom; at least one.
    pub proofs: Vec<SignatureProof>,
}

/// One good signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureProof {
    /// What it says.
    pub what: SignedThing,
    /// Who made it: a key's fingerprint, or an identity and its issuer.
    pub by: String,
    /// Its number in the transparency log, if that was proved.
    pub log_index: Option<u64>,
}

impl fmt::Display for SignatureProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.what, self.by)?;
        match self.log_index {
            Some(index) => write!(f, ", log index {index}"),
            None => Ok(()),
        }
    }
}

/// What a registry holds that may be a signature. Nothing of it has been checked but its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureDocument {
    /// A Sigstore bundle (JSON).
    Bundle(Vec<u8>),
    /// A DSSE envelope (JSON) of an attestation, as cosign stored them before bundles.
    Envelope {
        /// The envelope.
        body: Vec<u8>,
        /// What cosign wrote beside it.
        beside: BesideSignature,
    },
    /// A payload of simple signing, as cosign stored signatures before bundles.
    Simple {
        /// The signed bytes (JSON).
        payload: Vec<u8>,
        /// The signature in base64.
        signature: String,
        /// What cosign wrote beside it.
        beside: BesideSignature,
    },
    /// Something that could not be taken in.
    Unusable {
        /// Why, for people.
        reason: String,
    },
}

/// What cosign writes beside a signature that is not in a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BesideSignature {
    /// The signer's certificate (PEM).
    pub certificate: Option<String>,
    /// The certificates above it (PEM).
    pub chain: Option<String>,
    /// The promise of the transparency log (JSON).
    pub log: Option<String>,
}

/// Whether more of an image's signatures are of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// They are.
    More,
    /// Everything demanded has been found.
    Enough,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_a_uri_or_a_short_name() {
        let parse = |text| PredicateType::parse(text);
        for (text, is) in [
            ("slsaprovenance", "https://slsa.dev/provenance/v1"),
            ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
            ("cyclonedx", "https://cyclonedx.org/bom"),
            ("https://example.com/a/v1", "https://example.com/a/v1"),
        ] {
            assert!(parse(text).unwrap().is(is), "{text} is {is}");
        }
        assert!(!parse("slsaprovenance1").unwrap().is("https://slsa.dev/provenance/v0.2"));
        assert!(!parse("https://example.com/a").unwrap().is("https://example.com/a/v1"));
        assert!(!parse("slsaprovenance").unwrap().is("slsaprovenance"), "a short name is no type");
        for text in ["", "provenance", "https://a b", COSIGN_SIGN, "ftp://example.com"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
