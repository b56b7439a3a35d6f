//! Signatures by OpenPGP keys, as `git commit -S` makes them and `git verify-commit` checks them.
//!
//! Source: RFC 4880 (packets, version 4 keys and signatures, RSA), RFC 9580 (Ed25519, and what its drafts called EdDSA). A signature's
//! time is that of the commit, so that it says the same each time.

mod keys;
mod packets;

use aws_lc_rs::digest::{self, SHA256, SHA512};
use secrecy::{ExposeSecret as _, SecretString};

use self::keys::{Pair, PublicKey, keys, public, secret};
use self::packets::{armoured, dearmoured, hex, length, packet, packets};
use super::KeyError;

const PRIVATE: &str = "PGP PRIVATE KEY BLOCK";
const PUBLIC: &str = "PGP PUBLIC KEY BLOCK";
const SIGNATURE: &str = "PGP SIGNATURE";
/// Packet tags.
const TAG_SIGNATURE: u8 = 2;
const TAG_SECRET: [u8; 2] = [5, 7];
const TAG_PUBLIC: [u8; 2] = [6, 14];
/// Hash algorithms.
const HASH_SHA256: u8 = 8;
const HASH_SHA512: u8 = 10;
/// Signature subpackets.
const SUB_TIME: u8 = 2;
const SUB_ISSUER: u8 = 16;
const SUB_FINGERPRINT: u8 = 33;
/// The key flag of a key that signs data.
const MAY_SIGN: u8 = 2;

/// An OpenPGP key, and those that the bot had before.
pub(super) struct PgpSigner {
    pair: Pair,
    own: PublicKey,
    former: Vec<PublicKey>,
}

impl PgpSigner {
    /// Reads an armoured private key. Of several that may sign, the last counts, as for GnuPG.
    pub(super) fn new(key: &SecretString, former: &[String]) -> Result<Self, KeyError> {
        let bytes = dearmoured(key.expose_secret(), PRIVATE).ok_or(KeyError::PgpFormat)?;
        let mut found = Err(KeyError::PgpKind);
        for (body, flags) in keys(&bytes, TAG_SECRET).ok_or(KeyError::PgpFormat)? {
            if flags.is_some_and(|flags| flags & MAY_SIGN == 0) {
                continue;
            }
            match secret(body) {
                Err(KeyError::PgpKind) => {}
                read => found = read,
            }
        }
        let (pair, own) = found?;
        let read = |text: &String| {
            let bytes = dearmoured(text, PUBLIC)?;
            let read = keys(&bytes, TAG_PUBLIC)?.into_iter().filter_map(|(body, _)| Some(public(body)?.0));
            Some(read.collect::<Vec<_>>()).filter(|read| !read.is_empty())
        };
        let former = former.iter().map(|text| read(text).ok_or(KeyError::PgpPublic)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { pair, own, former: former.into_iter().flatten().collect() })
    }

    /// The fingerprint, in capitals, as GnuPG and forges show it.
    pub(super) fn fingerprint(&self) -> String {
        hex(&self.own.fingerprint)
    }

    /// The fingerprints of the keys whose signatures count, in one line.
    pub(super) fn accepted_keys(&self) -> String {
        let mut former: Vec<String> = self.former.iter().map(|key| hex(&key.fingerprint)).collect();
        former.sort_unstable();
        format!("pgp {} {}", self.fingerprint(), former.join(" "))
    }

    /// The signature of a commit's bytes.
    pub(super) fn sign(&self, commit: &[u8]) -> String {
        let mut sub = vec![22, SUB_FINGERPRINT, 4];
        sub.extend(&self.own.fingerprint);
        sub.extend([5, SUB_TIME]);
        sub.extend(committed(commit).to_be_bytes());
        let mut body = vec![4, 0, self.own.algorithm, HASH_SHA512];
        body.extend(length(&sub));
        body.extend(&sub);
        let data = with_head(commit, &body);
        let hash = hashed(HASH_SHA512, &data).unwrap_or_default();
        body.extend([0, 10, 9, SUB_ISSUER]);
        body.extend(&self.own.fingerprint[12..]);
        body.extend(&hash[..2]);
        body.extend(self.pair.sign(self.own.algorithm, &data));
        armoured(&packet(TAG_SIGNATURE, &body), SIGNATURE)
    }

    /// Whether this is a good signature of these bytes by the bot's own key, or by one that it had before.
    pub(super) fn has_signed(&self, commit: &[u8], armoured: &str) -> bool {
        let Some(bytes) = dearmoured(armoured, SIGNATURE) else { return false };
        let Some(packets) = packets(&bytes) else { return false };
        let [(TAG_SIGNATURE, body)] = packets[..] else { return false };
        let Some(Read { head, algorithm, hash, signature }) = Read::of(body) else { return false };
        let data = with_head(commit, head);
        let mut keys = std::iter::once(&self.own).chain(&self.former);
        keys.any(|key| key.algorithm == algorithm && key.has_signed(hash, &data, signature))
    }
}

/// The time at which a commit was committed, in seconds.
fn committed(commit: &[u8]) -> u32 {
    let line = commit.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"committer "));
    let text = line.and_then(|line| std::str::from_utf8(line).ok());
    text.and_then(|text| text.rsplit(' ').nth(1)?.parse().ok()).unwrap_or_default()
}

/// What is signed: the data, and the signature's own beginning (RFC 4880, 5.2.4).
fn with_head(data: &[u8], head: &[u8]) -> Vec<u8> {
    let size = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes();
    [data, head, &[4, 0xff], &size].concat()
}

/// The hash of what is signed.
fn hashed(algorithm: u8, data: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match algorithm {
        HASH_SHA256 => &SHA256,
        HASH_SHA512 => &SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, data).as_ref().to_vec())
}

/// A version 4 signature of bytes.
struct Read<'a> {
    /// Its hashed part.
    head: &'a [u8],
    algorithm: u8,
    hash: u8,
    /// The signature itself, as the algorithm has it.
    signature: &'a [u8],
}

impl<'a> Read<'a> {
    fn of(body: &'a [u8]) -> Option<Self> {
        let [4, 0, algorithm, hash @ (HASH_SHA256 | HASH_SHA512), high, low, ..] = *body else { return None };
        let (head, rest) = body.split_at_checked(6 + usize::from(u16::from_be_bytes([high, low])))?;
        let (unhashed, rest) = rest.split_first_chunk::<2>()?;
        let signature = rest.get(usize::from(u16::from_be_bytes(*unhashed)) + 2..)?;
        Some(Self { head, algorithm, hash, signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of these tests, made by GnuPG and used nowhere else.
    const KEY: &str = include_str!("../pgp-key.asc");
    const KEY_PUBLIC: &str = include_str!("../pgp-key.pub.asc");
    const SUBKEY: &str = include_str!("../pgp-subkey.asc");
    const COMMIT: &[u8] = include_bytes!("../commit");

    fn signer(key: &str, former: &[&str]) -> Result<PgpSigner, KeyError> {
        let former: Vec<String> = former.iter().map(|text| (*text).to_owned()).collect();
        PgpSigner::new(&SecretString::from(key), &former)
    }

    #[test]
    fn it_knows_its_own_signature_and_no_other() {
        let own = signer(KEY, &[]).unwrap();
        let made = own.sign(COMMIT);
        assert_eq!(made, own.sign(COMMIT), "the same each time");
        assert!(own.has_signed(COMMIT, &made));
        assert!(!own.has_signed(b"tree x\n", &made) && !own.has_signed(COMMIT, "x"));
        let bytes = dearmoured(&made, SIGNATURE).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x20;
            // What is not hashed (the issuer's id, the first bytes of the hash) proves nothing either way.
            if !(37..=50).contains(&at) {
                assert!(!own.has_signed(COMMIT, &armoured(&bytes, SIGNATURE)), "byte {at}");
            }
            assert!(!own.has_signed(COMMIT, &armoured(&bytes[..at], SIGNATURE)), "cut at {at}");
        }
        let other = signer(SUBKEY, &[]).unwrap();
        assert!(!other.has_signed(COMMIT, &made));
        assert!(signer(SUBKEY, &[KEY_PUBLIC]).unwrap().has_signed(COMMIT, &made), "it had that key before");
    }

    #[test]
    fn an_rsa_key_signs_the_same_each_time() {
        let (key, public) = (include_str!("../pgp-rsa.asc"), include_str!("../pgp-rsa.pub.asc"));
        let own = signer(key, &[]).unwrap();
        let made = own.sign(COMMIT);
        assert_eq!(made, own.sign(COMMIT));
        assert!(own.has_signed(COMMIT, &made) && !own.has_signed(b"tree x\n", &made));
        assert!(signer(KEY, &[public]).unwrap().has_signed(COMMIT, &made), "it had that key before");
        assert!(!signer(KEY, &[]).unwrap().has_signed(COMMIT, &made));
        let bytes = dearmoured(&made, SIGNATURE).unwrap();
        for at in (0..bytes.len()).step_by(11) {
            assert!(!own.has_signed(COMMIT, &armoured(&bytes[..at], SIGNATURE)), "cut at {at}");
        }
        let bytes = dearmoured(key, PRIVATE).unwrap();
        for at in (0..bytes.len()).step_by(53) {
            let mut bytes = bytes.clone();
            bytes[at] = !bytes[at];
            if let Ok(odd) = signer(&armoured(&bytes, PRIVATE), &[]) {
                assert!(odd.has_signed(COMMIT, &odd.sign(COMMIT)), "byte {at}");
            }
        }
    }

    #[test]
    fn the_key_that_may_sign_is_taken() {
        assert_eq!(signer(KEY, &[]).unwrap().fingerprint(), "B0057DD5AA7D850C88982D5AD2CA0DF3482E1D26");
        let bytes = dearmoured(include_str!("../pgp-subkey.pub.asc"), PUBLIC).unwrap();
        let last = public(keys(&bytes, TAG_PUBLIC).unwrap().last().unwrap().0).unwrap().0;
        assert_eq!(signer(SUBKEY, &[]).unwrap().fingerprint(), hex(&last.fingerprint));
    }

    #[test]
    fn what_is_no_key_is_told_by_its_kind() {
        let fails = |text: &str| signer(text, &[]).err().unwrap();
        assert_eq!(fails("hunter2"), KeyError::PgpFormat);
        assert_eq!(fails(KEY_PUBLIC), KeyError::PgpFormat);
        assert_eq!(fails(include_str!("../pgp-protected.asc")), KeyError::Passphrase);
        assert_eq!(fails(include_str!("../pgp-nist.asc")), KeyError::PgpKind);
        for end in (0..KEY.len() - 1).step_by(7) {
            assert!(signer(&KEY[..end], &[]).is_err(), "{end}");
        }
        let bytes = dearmoured(KEY, PRIVATE).unwrap();
        for at in 0..bytes.len() {
            // Whatever is wrong with it, nothing panics.
            let mut bytes = bytes.clone();
            bytes[at] = !bytes[at];
            let text = armoured(&bytes, PRIVATE);
            if let Ok(odd) = signer(&text, &[]) {
                assert!(odd.has_signed(COMMIT, &odd.sign(COMMIT)), "byte {at}");
            }
        }
        assert_eq!(signer(KEY, &["x"]).err(), Some(KeyError::PgpPublic));
    }
}
