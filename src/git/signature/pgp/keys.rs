//! Keys in OpenPGP's packets: Ed25519 in both of its forms, and RSA.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::super::KeyError;
use super::super::rsa::{self, RsaHash, RsaPrivate, RsaPublic};
use super::packets::{length, number, packets, take_number, take_point};
use super::{HASH_SHA512, TAG_SIGNATURE, hashed};

/// Public-key algorithms: RSA, also for signatures only; Ed25519 with its point as a number with a prefix, and as it is.
const RSA: u8 = 1;
const RSA_SIGN: u8 = 3;
const EDDSA: u8 = 22;
const ED: u8 = 27;
/// Ed25519's identifier (1.3.6.1.4.1.11591.15.1), with its length.
const CURVE: &[u8] = &[9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
/// The signature subpacket that says what a key is for.
const SUB_FLAGS: u8 = 27;

/// A public key: its algorithm, what it consists of, and its fingerprint.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub(super) algorithm: u8,
    material: Material,
    pub(super) fingerprint: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Ed25519(Vec<u8>),
    Rsa(RsaPublic),
}

/// A private key.
pub(super) enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Pair {
    /// The signature of data and of the signature's own beginning, as it stands in a packet for a key of this algorithm.
    pub(super) fn sign(&self, algorithm: u8, data: &[u8]) -> Vec<u8> {
        let mut made = Vec::new();
        match self {
            Self::Rsa(pair) => number(&mut made, &rsa::sign(pair, data)),
            Self::Ed25519(pair) => {
                let signature = pair.sign(&hashed(HASH_SHA512, data).unwrap_or_default());
                match algorithm {
                    ED => made.extend(signature.as_ref()),
                    _ => signature.as_ref().chunks(32).for_each(|half| number(&mut made, half)),
                }
            }
        }
        made
    }
}

impl PublicKey {
    /// Whether what stands in a packet is this key's signature of data, hashed by this algorithm.
    pub(super) fn has_signed(&self, hash: u8, data: &[u8], signature: &[u8]) -> bool {
        let mut rest = signature;
        match &self.material {
            Material::Ed25519(point) => {
                let signature = match self.algorithm {
                    ED => Some(signature.to_vec()),
                    _ => take_point(&mut rest).and_then(|half| Some([half, take_point(&mut rest)?].concat())),
                };
                let hash = hashed(hash, data);
                signature.zip(hash).is_some_and(|(signature, hash)| {
                    UnparsedPublicKey::new(&ED25519, point).verify(&hash, &signature).is_ok()
                })
            }
            Material::Rsa(key) => {
                let hash = if hash == HASH_SHA512 { RsaHash::Sha512 } else { RsaHash::Sha256 };
                take_number(&mut rest).is_some_and(|signature| key.has_signed(hash, data, signature))
            }
        }
    }
}

/// The keys among packets, each with what its signatures say it is for.
pub(super) fn keys(bytes: &[u8], tags: [u8; 2]) -> Option<Vec<(&[u8], Option<u8>)>> {
    let mut keys: Vec<(&[u8], Option<u8>)> = Vec::new();
    for (tag, body) in packets(bytes)? {
        if tags.contains(&tag) {
            keys.push((body, None));
        } else if let (TAG_SIGNATURE, Some(key)) = (tag, keys.last_mut()) {
            key.1 = flags(body).or(key.1);
        }
    }
    Some(keys)
}

/// The key flags in the hashed part of a version 4 signature.
fn flags(body: &[u8]) -> Option<u8> {
    let [4, _, _, _, high, low, rest @ ..] = body else { return None };
    let mut rest = rest.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
    while let Some((first, after)) = rest.split_first() {
        let (size, after) = match first {
            0..192 => (usize::from(*first), after),
            192..255 => (((usize::from(*first) - 192) << 8) + usize::from(*after.first()?) + 192, &after[1..]),
            255 => (usize::try_from(u32::from_be_bytes(*after.first_chunk()?)).ok()?, &after[4..]),
        };
        let (sub, left) = after.split_at_checked(size)?;
        if let [SUB_FLAGS, flags, ..] = sub {
            return Some(*flags);
        }
        rest = left;
    }
    None
}

/// A public key, and what follows it.
pub(super) fn public(body: &[u8]) -> Option<(PublicKey, &[u8])> {
    let [4, _, _, _, _, algorithm, rest @ ..] = body else { return None };
    let (material, after) = match *algorithm {
        ED => rest.split_at_checked(32).map(|(point, after)| (Material::Ed25519(point.to_vec()), after))?,
        EDDSA => {
            let mut after = rest.strip_prefix(CURVE)?;
            // The prefix says that the point is as it is, and its first bit counts as the number's.
            let (bits, coded) = after.split_first_chunk::<2>()?;
            let (point, left) = coded.split_at_checked(33).filter(|_| *bits == [1, 7])?;
            after = left;
            (Material::Ed25519(point.strip_prefix(&[0x40])?.to_vec()), after)
        }
        RSA | RSA_SIGN => {
            let mut after = rest;
            let modulus = take_number(&mut after)?;
            (Material::Rsa(RsaPublic::new(modulus, take_number(&mut after)?)), after)
        }
        _ => return None,
    };
    let own = &body[..body.len() - after.len()];
    let mut hash = digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(&[0x99]);
    hash.update(&length(own));
    hash.update(own);
    Some((PublicKey { algorithm: *algorithm, material, fingerprint: hash.finish().as_ref().to_vec() }, after))
}

/// A private key that can be used as it is.
pub(super) fn secret(body: &[u8]) -> Result<(Pair, PublicKey), KeyError> {
    let (key, rest) = public(body).ok_or(KeyError::PgpKind)?;
    let numbers = match rest {
        [0, rest @ ..] => rest,
        // GnuPG leaves out the key itself (S2K 101), as of a primary key that stays at home.
        [_, _, 101, ..] => return Err(KeyError::PgpKind),
        _ => return Err(KeyError::Passphrase),
    };
    let pair = match &key.material {
        Material::Ed25519(point) => Pair::Ed25519(ed25519(numbers, point, key.algorithm).ok_or(KeyError::PgpFormat)?),
        Material::Rsa(public) => {
            let pair = rsa_pair(numbers, public).ok_or(KeyError::PgpFormat)?;
            Pair::Rsa(pair.ok_or(KeyError::PgpKind)?)
        }
    };
    Ok((pair, key))
}

fn ed25519(mut numbers: &[u8], point: &[u8], algorithm: u8) -> Option<Ed25519KeyPair> {
    let seed = match algorithm {
        ED => numbers.get(..32)?.to_vec(),
        _ => take_point(&mut numbers)?,
    };
    let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, point).ok()?;
    (pair.public_key().as_ref() == point).then_some(pair)
}

/// Of a key that is cut off, nothing; of one that cannot be used, `Some(None)`.
fn rsa_pair(mut numbers: &[u8], public: &RsaPublic) -> Option<Option<RsaKeyPair>> {
    let mut take = || take_number(&mut numbers);
    let (exponent, first, second, inverse) = (take()?, take()?, take()?, take()?);
    // OpenPGP has the inverse of the first prime modulo the second: the primes change places.
    let private = RsaPrivate { exponent, first_prime: second, second_prime: first, coefficient: inverse };
    Some(public.with(&private))
}
