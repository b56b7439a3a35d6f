//! Public keys that sign images: SubjectPublicKeyInfo in PEM, as `cosign public-key` writes them.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How many keys may stand in one place: a former key and its successor, at times.
const MAX_KEYS: usize = 16;
/// Longest key taken, in bytes of DER: RSA with 8192 bits has about 1,100.
const MAX_DER: usize = 2_048;

/// Public keys, any one of which may have signed; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKeys(Vec<PublicKey>);

/// One public key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey {
    kind: KeyKind,
    /// SubjectPublicKeyInfo (RFC 5280).
    der: Vec<u8>,
}

/// The kinds of keys that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum KeyKind {
    EcdsaP256,
    EcdsaP384,
    Ed25519,
    Rsa,
}

/// What the DER of each kind begins with, up to the key itself (RFC 5480, RFC 8410); of RSA, the algorithm alone.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P384: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];
const ED: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const RSA: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// Why a text holds no public keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// There is none.
    #[error("it holds no public key in PEM (-----BEGIN PUBLIC KEY-----), as `cosign public-key` writes it")]
    Missing,
    /// Somebody has put in the private one.
    #[error(
        "it holds a private key; a signature is verified by the public one alone: write that, and replace the private key, which others may have read"
    )]
    Private,
    /// One cannot be read.
    #[error(
        "its key number {0} cannot be read: it is neither ECDSA (P-256, P-384), Ed25519 nor RSA with 2048 to 8192 bits"
    )]
    Unreadable(usize),
    /// There are too many.
    #[error("it holds more than {MAX_KEYS} keys")]
    TooMany,
}

impl PublicKeys {
    /// Reads every key of a text in PEM; other text around them is let be.
    ///
    /// # Errors
    /// When there is none, one cannot be read, or one is private.
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
        const END: &str = "-----END PUBLIC KEY-----";
        if text.contains("PRIVATE KEY-----") {
            return Err(PublicKeyError::Private);
        }
        let mut keys = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(BEGIN) {
            let number = keys.len() + 1;
            let body = &rest[at + BEGIN.len()..];
            let end = body.find(END).ok_or(PublicKeyError::Unreadable(number))?;
            let plain: String = body[..end].split_ascii_whitespace().collect();
            let der = STANDARD.decode(plain).ok().filter(|der| der.len() <= MAX_DER);
            let key = der.and_then(PublicKey::of).ok_or(PublicKeyError::Unreadable(number))?;
            if !keys.contains(&key) {
                keys.push(key);
            }
            rest = &body[end + END.len()..];
            if keys.len() > MAX_KEYS {
                return Err(PublicKeyError::TooMany);
            }
        }
        if keys.is_empty() { Err(PublicKeyError::Missing) } else { Ok(Self(keys)) }
    }

    /// The key that has signed this, if one of them has.
    #[must_use]
    pub fn signer_of(&self, message: &[u8], signature: &[u8]) -> Option<&PublicKey> {
        self.0.iter().find(|key| key.has_signed(message, signature))
    }

    /// The fingerprints, in order.
    pub fn fingerprints(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(PublicKey::fingerprint)
    }

    /// The DER of each, in order.
    pub fn ders(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|key| key.der.as_slice())
    }
}

impl PublicKey {
    fn of(der: Vec<u8>) -> Option<Self> {
        let kind = match der.as_slice() {
            der if der.starts_with(P256) && der.len() == P256.len() + 65 => KeyKind::EcdsaP256,
            der if der.starts_with(P384) && der.len() == P384.len() + 97 => KeyKind::EcdsaP384,
            der if der.starts_with(ED) && der.len() == ED.len() + 32 => KeyKind::Ed25519,
            // 0x30, a length in the long form, and the algorithm.
            [0x30, 0x82, _, _, algorithm @ ..] if algorithm.starts_with(RSA) => KeyKind::Rsa,
            _ => return None,
        };
        let key = Self { kind, der };
        // A point that is not on its curve, a modulus of the wrong size.
        key.algorithms()
            .iter()
            .all(|algorithm| ParsedPublicKey::new(*algorithm, key.der.as_slice()).is_ok())
            .then_some(key)
    }

    /// What it may have signed with: cosign hashes with SHA-256 whatever the curve, unless it is told otherwise.
    fn algorithms(&self) -> &'static [&'static dyn VerificationAlgorithm] {
        match self.kind {
            KeyKind::EcdsaP256 => &[&ECDSA_P256_SHA256_ASN1],
            KeyKind::EcdsaP384 => &[&ECDSA_P384_SHA256_ASN1, &ECDSA_P384_SHA384_ASN1],
            KeyKind::Ed25519 => &[&ED25519],
            KeyKind::Rsa => &[&RSA_PKCS1_2048_8192_SHA256],
        }
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.algorithms().iter().any(|algorithm| {
            ParsedPublicKey::new(*algorithm, self.der.as_slice())
                .is_ok_and(|key| key.verify_sig(message, signature).is_ok())
        })
    }

    /// The SHA-256 of its DER, as `openssl pkey -pubin -outform DER | sha256sum` gives it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = digest(&SHA256, &self.der);
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}
