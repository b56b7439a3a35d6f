//! Signatures by OpenPGP keys, as `git commit -S` makes them and `git verify-commit` checks them.
//!
//! Source: RFC 4880 (packets, version 4 keys and signatures), RFC 9580 (Ed25519, and what its drafts called EdDSA). A signature's
//! time is that of the commit, so that it says the same each time.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::KeyError;

const PRIVATE: &str = "PGP PRIVATE KEY BLOCK";
const PUBLIC: &str = "PGP PUBLIC KEY BLOCK";
const SIGNATURE: &str = "PGP SIGNATURE";
/// The length of an armoured line, as GnuPG writes it.
const LINE: usize = 64;
/// Packet tags.
const TAG_SIGNATURE: u8 = 2;
const TAG_SECRET: [u8; 2] = [5, 7];
const TAG_PUBLIC: [u8; 2] = [6, 14];
/// Public-key algorithms: Ed25519 with its point as a number with a prefix, and as it is.
const EDDSA: u8 = 22;
const ED: u8 = 27;
/// The curve's identifier (1.3.6.1.4.1.11591.15.1), with its length.
const CURVE: &[u8] = &[9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
/// Hash algorithms.
const HASH_SHA256: u8 = 8;
const HASH_SHA512: u8 = 10;
/// Signature subpackets.
const SUB_TIME: u8 = 2;
const SUB_ISSUER: u8 = 16;
const SUB_FLAGS: u8 = 27;
const SUB_FINGERPRINT: u8 = 33;
/// The key flag of a key that signs data.
const MAY_SIGN: u8 = 2;

/// A public key: its algorithm, its 32 bytes, and its fingerprint.
#[derive(Clone, PartialEq, Eq)]
struct PublicKey {
    algorithm: u8,
    point: Vec<u8>,
    fingerprint: Vec<u8>,
}

/// An OpenPGP key, and those that the bot had before.
pub(super) struct PgpSigner {
    pair: Ed25519KeyPair,
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
        let mut packet = vec![4, 0, self.own.algorithm, HASH_SHA512];
        packet.extend(length(&sub));
        packet.extend(&sub);
        let hash = hashed(HASH_SHA512, commit, &packet).unwrap_or_default();
        packet.extend([0, 10, 9, SUB_ISSUER]);
        packet.extend(&self.own.fingerprint[12..]);
        packet.extend(&hash[..2]);
        let signature = self.pair.sign(&hash);
        match self.own.algorithm {
            ED => packet.extend(signature.as_ref()),
            _ => signature.as_ref().chunks(32).for_each(|half| number(&mut packet, half)),
        }
        let mut bytes = vec![0x80 | TAG_SIGNATURE << 2, u8::try_from(packet.len()).unwrap_or(u8::MAX)];
        bytes.extend(packet);
        armoured(&bytes)
    }

    /// Whether this is a good signature of these bytes by the bot's own key, or by one that it had before.
    pub(super) fn has_signed(&self, commit: &[u8], armoured: &str) -> bool {
        let Some(bytes) = dearmoured(armoured, SIGNATURE) else { return false };
        let Some(packets) = packets(&bytes) else { return false };
        let [(TAG_SIGNATURE, body)] = packets[..] else { return false };
        let Some((head, hash, signature, algorithm)) = read(body) else { return false };
        let Some(hash) = hashed(hash, commit, head) else { return false };
        std::iter::once(&self.own).chain(&self.former).any(|key| {
            key.algorithm == algorithm && UnparsedPublicKey::new(&ED25519, &key.point).verify(&hash, &signature).is_ok()
        })
    }
}

/// The time at which a commit was committed, in seconds.
fn committed(commit: &[u8]) -> u32 {
    let line = commit.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"committer "));
    let text = line.and_then(|line| std::str::from_utf8(line).ok());
    text.and_then(|text| text.rsplit(' ').nth(1)?.parse().ok()).unwrap_or_default()
}

/// The hash that is signed: of the data, and of the signature's own beginning (RFC 4880, 5.2.4).
fn hashed(algorithm: u8, data: &[u8], head: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match algorithm {
        HASH_SHA256 => &SHA256,
        HASH_SHA512 => &SHA512,
        _ => return None,
    };
    let mut context = digest::Context::new(algorithm);
    context.update(data);
    context.update(head);
    context.update(&[4, 0xff]);
    context.update(&u32::try_from(head.len()).ok()?.to_be_bytes());
    Some(context.finish().as_ref().to_vec())
}

/// The hashed part of a version 4 signature of bytes, its hash algorithm, the 64 bytes of the signature, and its algorithm.
fn read(body: &[u8]) -> Option<(&[u8], u8, Vec<u8>, u8)> {
    let [4, 0, algorithm @ (EDDSA | ED), hash, high, low, ..] = *body else { return None };
    let (head, rest) = body.split_at_checked(6 + usize::from(u16::from_be_bytes([high, low])))?;
    let (unhashed, rest) = rest.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*unhashed)) + 2..)?;
    let signature = match algorithm {
        ED => rest.to_vec(),
        _ => {
            let mut rest = rest;
            let mut both = take_number(&mut rest)?;
            both.extend(take_number(&mut rest)?);
            both
        }
    };
    (signature.len() == 64).then_some((head, hash, signature, algorithm))
}

/// The keys among packets, each with what its signatures say it is for.
fn keys(bytes: &[u8], tags: [u8; 2]) -> Option<Vec<(&[u8], Option<u8>)>> {
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
fn public(body: &[u8]) -> Option<(PublicKey, &[u8])> {
    let [4, _, _, _, _, algorithm, rest @ ..] = body else { return None };
    let (point, after) = match *algorithm {
        ED => rest.split_at_checked(32).map(|(point, after)| (point.to_vec(), after))?,
        EDDSA => {
            let mut after = rest.strip_prefix(CURVE)?;
            // The prefix says that the point is as it is, and its first bit counts as the number's.
            let (bits, coded) = after.split_first_chunk::<2>()?;
            let (point, left) = coded.split_at_checked(33).filter(|_| *bits == [1, 7])?;
            after = left;
            (point.strip_prefix(&[0x40])?.to_vec(), after)
        }
        _ => return None,
    };
    let own = &body[..body.len() - after.len()];
    let mut hash = digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(&[0x99]);
    hash.update(&length(own));
    hash.update(own);
    Some((PublicKey { algorithm: *algorithm, point, fingerprint: hash.finish().as_ref().to_vec() }, after))
}

/// A private key that can be used as it is.
fn secret(body: &[u8]) -> Result<(Ed25519KeyPair, PublicKey), KeyError> {
    let (key, rest) = public(body).ok_or(KeyError::PgpKind)?;
    let seed = match rest {
        [0, rest @ ..] if key.algorithm == ED => rest.get(..32).map(<[u8]>::to_vec),
        [0, rest @ ..] => take_number(&mut &*rest),
        // GnuPG leaves out the key itself (S2K 101), as of a primary key that stays at home.
        [_, _, 101, ..] => return Err(KeyError::PgpKind),
        _ => return Err(KeyError::Passphrase),
    };
    let pair = seed.and_then(|seed| Ed25519KeyPair::from_seed_and_public_key(&seed, &key.point).ok());
    let pair = pair.ok_or(KeyError::PgpFormat)?;
    (pair.public_key().as_ref() == key.point).then_some((pair, key)).ok_or(KeyError::PgpFormat)
}

/// A number of at most 32 bytes, with the zeros that were left out before it.
fn take_number(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (bits, after) = rest.split_first_chunk::<2>()?;
    let (bytes, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*bits)).div_ceil(8))?;
    *rest = after;
    let mut number = vec![0; 32_usize.checked_sub(bytes.len())?];
    number.extend(bytes);
    Some(number)
}

/// Writes a number: its length in bits, and its bytes without zeros before them.
fn number(into: &mut Vec<u8>, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    let bits = bytes.len() * 8 - bytes.first().map_or(0, |first| first.leading_zeros() as usize);
    into.extend(u16::try_from(bits).unwrap_or(u16::MAX).to_be_bytes());
    into.extend(bytes);
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// Packets, each with its tag; `None` if one is cut off or of indefinite length.
fn packets(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut packets = Vec::new();
    while let Some((head, rest)) = bytes.split_first() {
        let (tag, (size, rest)) = match head {
            0xc0.. => (head & 0x3f, new_length(rest)?),
            0x80..0xc0 => (head >> 2 & 0x0f, old_length(head & 3, rest)?),
            _ => return None,
        };
        let (body, left) = rest.split_at_checked(size)?;
        packets.push((tag, body));
        bytes = left;
    }
    Some(packets)
}

fn old_length(kind: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match kind {
        0 => rest.split_first().map(|(size, rest)| (usize::from(*size), rest)),
        1 => rest.split_first_chunk().map(|(size, rest)| (usize::from(u16::from_be_bytes(*size)), rest)),
        2 => rest.split_first_chunk().and_then(|(size, rest)| Some((u32::from_be_bytes(*size).try_into().ok()?, rest))),
        _ => None,
    }
}

fn new_length(rest: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = rest.split_first()?;
    match first {
        0..192 => Some((usize::from(*first), rest)),
        192..224 => {
            let (second, rest) = rest.split_first()?;
            Some((((usize::from(*first) - 192) << 8) + usize::from(*second) + 192, rest))
        }
        255 => old_length(2, rest),
        224..255 => None,
    }
}

/// What is in armour of this kind. Its checksum is not needed: what is read is checked by its own measure.
fn dearmoured(text: &str, kind: &str) -> Option<Vec<u8>> {
    let body = text.split_once(&format!("-----BEGIN {kind}-----"))?.1.split_once(&format!("-----END {kind}-----"))?.0;
    // Headers, if there are any, end with an empty line.
    let lines: Vec<&str> = body.lines().map(str::trim).collect();
    let begin = lines.iter().skip(1).position(|line| line.is_empty()).map_or(0, |at| at + 1);
    let data = lines[begin..].iter().filter(|line| !line.starts_with('='));
    STANDARD.decode(data.copied().collect::<String>()).ok()
}

fn armoured(bytes: &[u8]) -> String {
    let mut text = format!("-----BEGIN {SIGNATURE}-----\n");
    for line in STANDARD.encode(bytes).as_bytes().chunks(LINE) {
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(line));
    }
    text.push_str(&format!("\n={}\n-----END {SIGNATURE}-----", STANDARD.encode(&crc24(bytes).to_be_bytes()[1..])));
    text
}

/// The checksum of armour (RFC 4880, 6.1).
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x00b7_04ce, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 16, |crc, _| {
            let shifted = crc << 1;
            if shifted & 0x0100_0000 == 0 { shifted } else { shifted ^ 0x0186_4cfb }
        })
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of these tests, made by GnuPG and used nowhere else.
    const KEY: &str = include_str!("pgp-key.asc");
    const KEY_PUBLIC: &str = include_str!("pgp-key.pub.asc");
    const SUBKEY: &str = include_str!("pgp-subkey.asc");
    const COMMIT: &[u8] = include_bytes!("commit");

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
                assert!(!own.has_signed(COMMIT, &armoured(&bytes)), "byte {at}");
            }
            assert!(!own.has_signed(COMMIT, &armoured(&bytes[..at])), "cut at {at}");
        }
        let other = signer(SUBKEY, &[]).unwrap();
        assert!(!other.has_signed(COMMIT, &made));
        assert!(signer(SUBKEY, &[KEY_PUBLIC]).unwrap().has_signed(COMMIT, &made), "it had that key before");
    }

    #[test]
    fn the_key_that_may_sign_is_taken() {
        assert_eq!(signer(KEY, &[]).unwrap().fingerprint(), "B0057DD5AA7D850C88982D5AD2CA0DF3482E1D26");
        let bytes = dearmoured(include_str!("pgp-subkey.pub.asc"), PUBLIC).unwrap();
        let last = public(keys(&bytes, TAG_PUBLIC).unwrap().last().unwrap().0).unwrap().0;
        assert_eq!(signer(SUBKEY, &[]).unwrap().fingerprint(), hex(&last.fingerprint));
    }

    #[test]
    fn what_is_no_key_is_told_by_its_kind() {
        let fails = |text: &str| signer(text, &[]).err().unwrap();
        assert_eq!(fails("hunter2"), KeyError::PgpFormat);
        assert_eq!(fails(KEY_PUBLIC), KeyError::PgpFormat);
        assert_eq!(fails(include_str!("pgp-protected.asc")), KeyError::Passphrase);
        assert_eq!(fails(include_str!("pgp-rsa.asc")), KeyError::PgpKind);
        for end in (0..KEY.len() - 1).step_by(7) {
            assert!(signer(&KEY[..end], &[]).is_err(), "{end}");
        }
        let bytes = dearmoured(KEY, PRIVATE).unwrap();
        for at in 0..bytes.len() {
            // Whatever is wrong with it, nothing panics.
            let mut bytes = bytes.clone();
            bytes[at] = !bytes[at];
            let text = armoured(&bytes).replace(SIGNATURE, PRIVATE);
            if let Ok(odd) = signer(&text, &[]) {
                assert!(odd.has_signed(COMMIT, &odd.sign(COMMIT)), "byte {at}");
            }
        }
        assert_eq!(signer(KEY, &["x"]).err(), Some(KeyError::PgpPublic));
    }

    #[test]
    fn numbers_keep_their_length() {
        for first in [0_u8, 1, 0x80, 0xff] {
            let mut bytes = vec![7; 32];
            bytes[0] = first;
            let mut written = Vec::new();
            number(&mut written, &bytes);
            assert_eq!(take_number(&mut &*written), Some(bytes));
        }
        let mut zero = Vec::new();
        number(&mut zero, &[0; 32]);
        assert_eq!((zero.clone(), take_number(&mut &*zero)), (vec![0, 0], Some(vec![0; 32])));
        assert_eq!(take_number(&mut &[1, 8, 1][..]), None);
    }
}
