//! Signatures by SSH keys, as `git commit -S` with `gpg.format=ssh` makes them and `git verify-commit` checks them.
//!
//! Made in the process, so that no program has to be there and the key is in no file of ours. Sources: PROTOCOL.key (the private key) and
//! PROTOCOL.sshsig (the signature) of OpenSSH; RFC 8332 (`rsa-sha2-512`).

use aws_lc_rs::digest::{self, SHA512};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::KeyError;
use super::rsa::{self, RsaHash, RsaPrivate, RsaPublic, trimmed};

/// What a private key begins with, after the armour.
const PRIVATE: &[u8] = b"openssh-key-v1\0";
/// What a signature, and what is signed, begins with.
const SIGNATURE: &[u8] = b"SSHSIG";
/// The kinds of keys, and what signatures of theirs are called.
const ED25519_KEY: &[u8] = b"ssh-ed25519";
const RSA_KEY: &[u8] = b"ssh-rsa";
const RSA_SIGNATURE: &[u8] = b"rsa-sha2-512";
/// What Git's signatures are for.
const NAMESPACE: &[u8] = b"git";
const HASH: &[u8] = b"sha512";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// The length of an armoured line, as ssh-keygen writes it.
const LINE: usize = 70;

/// An SSH key, and those that the bot had before.
pub(super) struct SshSigner {
    pair: Pair,
    own: PublicKey,
    former: Vec<PublicKey>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A public key; two are the same if their bytes in SSH's format are.
#[derive(Clone, PartialEq, Eq)]
enum PublicKey {
    Ed25519(Vec<u8>),
    Rsa(RsaPublic),
}

impl SshSigner {
    /// Reads a private key, and the public keys (`ssh-ed25519 AAAA…`, `ssh-rsa AAAA…`) that it took the place of.
    ///
    /// # Errors
    /// When it is not an Ed25519 or RSA key of OpenSSH without a passphrase, or a public key is none.
    pub(super) fn new(key: &SecretString, former: &[String]) -> Result<Self, KeyError> {
        let text = key.expose_secret();
        let body = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----").ok_or(KeyError::Format)?.1;
        let body = body.split_once("-----END OPENSSH PRIVATE KEY-----").ok_or(KeyError::Format)?.0;
        let packed: String = body.split_whitespace().collect();
        let bytes = STANDARD.decode(packed).map_err(|_| KeyError::Format)?;
        let mut rest = Reader(bytes.strip_prefix(PRIVATE).ok_or(KeyError::Format)?);
        let (cipher, _derivation, _options) = (rest.string()?, rest.string()?, rest.string()?);
        if cipher != b"none" {
            return Err(KeyError::Passphrase);
        }
        let (_count, _public) = (rest.number()?, rest.string()?);
        let mut private = Reader(rest.string()?);
        let (_check, _again) = (private.number()?, private.number()?);
        let (pair, own) = match private.string()? {
            ED25519_KEY => ed25519_pair(&mut private)?,
            RSA_KEY => rsa_pair(&mut private)?,
            _ => return Err(KeyError::Kind),
        };
        let former = former.iter().map(|text| public_key(text)).collect::<Result<_, _>>()?;
        Ok(Self { pair, own, former })
    }

    /// The public key, as it stands in `allowed_signers` and as forges take it.
    pub(super) fn public_key(&self) -> String {
        self.own.text()
    }

    /// The keys whose signatures count, in one line.
    pub(super) fn accepted_keys(&self) -> String {
        let mut former: Vec<String> = self.former.iter().map(PublicKey::text).collect();
        former.sort_unstable();
        format!("{} {}", self.public_key(), former.join(" "))
    }

    /// The signature of a commit's bytes, as its header `gpgsig` has it.
    pub(super) fn sign(&self, commit: &[u8]) -> String {
        let (kind, signature) = match &self.pair {
            Pair::Ed25519(pair) => (ED25519_KEY, pair.sign(&signed(commit)).as_ref().to_vec()),
            Pair::Rsa(pair) => (RSA_SIGNATURE, rsa::sign(pair, &signed(commit))),
        };
        let mut packed = SIGNATURE.to_vec();
        packed.extend(1_u32.to_be_bytes());
        for part in [&self.own.blob()[..], NAMESPACE, b"", HASH] {
            string(&mut packed, part);
        }
        let mut made = Vec::new();
        string(&mut made, kind);
        string(&mut made, &signature);
        string(&mut packed, &made);
        let text = STANDARD.encode(packed);
        let mut armoured = BEGIN.to_owned();
        for line in text.as_bytes().chunks(LINE) {
            armoured.push('\n');
            armoured.push_str(&String::from_utf8_lossy(line));
        }
        armoured.push('\n');
        armoured.push_str(END);
        armoured
    }

    /// Whether this is a good signature of these bytes by the bot's own key, or by one that it had before.
    pub(super) fn has_signed(&self, commit: &[u8], armoured: &str) -> bool {
        let Some((key, kind, signature)) = read(armoured) else { return false };
        let is_ours = std::iter::once(&self.own).chain(&self.former).any(|known| *known == key);
        is_ours && key.has_signed(&kind, &signed(commit), &signature)
    }
}

fn ed25519_pair(private: &mut Reader<'_>) -> Result<(Pair, PublicKey), KeyError> {
    let (public, secret) = (private.string()?, private.string()?);
    let seed = secret.get(..32).ok_or(KeyError::Format)?;
    let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| KeyError::Format)?;
    let own = PublicKey::Ed25519(pair.public_key().as_ref().to_vec());
    Ok((Pair::Ed25519(pair), own))
}

fn rsa_pair(private: &mut Reader<'_>) -> Result<(Pair, PublicKey), KeyError> {
    let own = RsaPublic::new(private.string()?, private.string()?);
    let (exponent, coefficient) = (private.string()?, private.string()?);
    let (first_prime, second_prime) = (private.string()?, private.string()?);
    let pair = own.with(&RsaPrivate { exponent, first_prime, second_prime, coefficient });
    Ok((Pair::Rsa(pair.ok_or(KeyError::Kind)?), PublicKey::Rsa(own)))
}

impl PublicKey {
    /// The key in SSH's format; `None` if it is of another kind.
    fn parse(blob: &[u8]) -> Option<Self> {
        let mut rest = Reader(blob);
        match rest.string().ok()? {
            ED25519_KEY => Some(Self::Ed25519(rest.string().ok().filter(|key| key.len() == 32)?.to_vec())),
            RSA_KEY => {
                let exponent = rest.string().ok()?;
                Some(Self::Rsa(RsaPublic::new(rest.string().ok()?, exponent)))
            }
            _ => None,
        }
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        match self {
            Self::Ed25519(key) => [ED25519_KEY, &key[..]].iter().for_each(|part| string(&mut blob, part)),
            Self::Rsa(key) => {
                string(&mut blob, RSA_KEY);
                positive(&mut blob, &key.exponent);
                positive(&mut blob, &key.modulus);
            }
        }
        blob
    }

    /// `ssh-ed25519 AAAA…`.
    fn text(&self) -> String {
        let kind = match self {
            Self::Ed25519(_) => ED25519_KEY,
            Self::Rsa(_) => RSA_KEY,
        };
        format!("{} {}", String::from_utf8_lossy(kind), STANDARD.encode(self.blob()))
    }

    fn has_signed(&self, kind: &[u8], data: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => {
                kind == ED25519_KEY && UnparsedPublicKey::new(&ED25519, key).verify(data, signature).is_ok()
            }
            Self::Rsa(key) => kind == RSA_SIGNATURE && key.has_signed(RsaHash::Sha512, data, signature),
        }
    }
}

/// What is signed for a commit.
fn signed(commit: &[u8]) -> Vec<u8> {
    let hash = digest::digest(&SHA512, commit);
    let mut text = SIGNATURE.to_vec();
    for part in [NAMESPACE, b"", HASH, hash.as_ref()] {
        string(&mut text, part);
    }
    text
}

/// The public key, the kind of signature and the signature in an armoured text.
fn read(armoured: &str) -> Option<(PublicKey, Vec<u8>, Vec<u8>)> {
    let body = armoured.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let packed: String = body.split_whitespace().collect();
    let bytes = STANDARD.decode(packed).ok()?;
    let mut rest = Reader(bytes.strip_prefix(SIGNATURE)?);
    let version = rest.number().ok()?;
    let mut part = || rest.string().ok();
    let (key, namespace, _reserved, hash, signature) = (part()?, part()?, part()?, part()?, part()?);
    if (version, namespace, hash) != (1, NAMESPACE, HASH) {
        return None;
    }
    let mut signature = Reader(signature);
    let kind = signature.string().ok()?.to_vec();
    Some((PublicKey::parse(key)?, kind, signature.string().ok()?.to_vec()))
}

fn public_key(text: &str) -> Result<PublicKey, KeyError> {
    let mut words = text.split_whitespace();
    let (kind, packed) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let key = STANDARD.decode(packed).ok().as_deref().and_then(PublicKey::parse);
    key.filter(|key| key.text().split(' ').next() == Some(kind)).ok_or(KeyError::Public)
}

/// A number that is not negative, as SSH writes it.
fn positive(into: &mut Vec<u8>, number: &[u8]) {
    let number = trimmed(number);
    let sign: &[u8] = if number.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    string(into, &[sign, number].concat());
}

/// SSH's `string`: its length in four bytes, and its bytes.
fn string(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    into.extend(bytes);
}

/// Reads SSH's binary format.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<u32, KeyError> {
        let (number, rest) = self.0.split_first_chunk::<4>().ok_or(KeyError::Format)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Result<&'a [u8], KeyError> {
        let length = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(KeyError::Format)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CommitSigner, Kind};
    use super::*;

    /// A key of these tests, made by ssh-keygen and used nowhere else, and a signature that `ssh-keygen -Y sign -n git` made with it.
    const KEY: &str = include_str!("key");
    const PUBLIC: &str = include_str!("key.pub");
    const MADE: &str = include_str!("commit.sig");
    const COMMIT: &[u8] = include_bytes!("commit");

    fn signer(former: &[String]) -> CommitSigner {
        CommitSigner::ssh(&SecretString::from(KEY), former).unwrap()
    }

    /// The object with its signature in the header.
    fn with(commit: &[u8], signature: &str) -> Vec<u8> {
        let text = String::from_utf8(commit.to_vec()).unwrap();
        let (head, message) = text.split_once("\n\n").unwrap();
        format!("{head}\ngpgsig {}\n\n{message}", signature.trim_end().replace('\n', "\n ")).into_bytes()
    }

    #[test]
    fn it_signs_as_ssh_keygen_does() {
        assert_eq!(signer(&[]).sign(COMMIT), MADE.trim_end());
        assert_eq!(signer(&[]).public_key(), PUBLIC.rsplit_once(' ').unwrap().0);
    }

    #[test]
    fn it_signs_by_an_rsa_key_as_ssh_keygen_does() {
        let (key, public) = (SecretString::from(include_str!("rsa")), include_str!("rsa.pub"));
        let signer = CommitSigner::ssh(&key, &[]).unwrap();
        let made = signer.sign(COMMIT);
        assert_eq!(made, include_str!("rsa.sig").trim_end());
        assert_eq!(signer.public_key(), public.rsplit_once(' ').unwrap().0);
        assert!(signer.has_signed(&with(COMMIT, &made)) && !signer.has_signed(&with(COMMIT, MADE)));
        let changed = String::from_utf8(with(COMMIT, &made)).unwrap().replace("bump", "pump");
        assert!(!signer.has_signed(changed.as_bytes()));
        let other = CommitSigner::ssh(&SecretString::from(KEY), &[public.to_owned()]).unwrap();
        assert!(other.has_signed(&with(COMMIT, &made)), "it had that key before");
        let text = include_str!("rsa");
        for end in (0..text.len()).step_by(97) {
            assert!(CommitSigner::ssh(&SecretString::from(&text[..end]), &[]).is_err(), "{end}");
        }
    }

    #[test]
    fn it_knows_its_own_signature_and_no_other() {
        let own = with(COMMIT, MADE);
        assert!(signer(&[]).has_signed(&own));
        let changed = String::from_utf8(own.clone()).unwrap().replace("bump", "pump").into_bytes();
        let twice = String::from_utf8(own.clone()).unwrap().replacen("gpgsig", "gpgsig x\ngpgsig", 1).into_bytes();
        let cut = with(COMMIT, &MADE.replace('A', "B"));
        for data in [COMMIT.to_vec(), changed, twice, cut, with(COMMIT, "x"), Vec::new()] {
            assert!(!signer(&[]).has_signed(&data), "{}", String::from_utf8_lossy(&data));
        }
    }

    #[test]
    fn a_former_key_is_the_bots_too() {
        let new = |former| {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
            let own = PublicKey::Ed25519(pair.public_key().as_ref().to_vec());
            CommitSigner(Kind::Ssh(SshSigner { pair: Pair::Ed25519(pair), own, former }))
        };
        let own = with(COMMIT, MADE);
        assert!(!new(Vec::new()).has_signed(&own));
        assert!(new(vec![public_key(PUBLIC).unwrap()]).has_signed(&own));
    }

    #[test]
    fn what_is_no_key_is_told_by_its_kind() {
        let read = |text: &str| CommitSigner::ssh(&SecretString::from(text), &[]).unwrap_err();
        assert_eq!(read("hunter2"), KeyError::Format);
        assert_eq!(read(&KEY.replace("b3Blb", "AAAAA")), KeyError::Format);
        assert_eq!(read(include_str!("protected")), KeyError::Passphrase);
        assert_eq!(read(include_str!("ecdsa")), KeyError::Kind);
        for end in (0..KEY.len()).step_by(7) {
            assert!(CommitSigner::ssh(&SecretString::from(&KEY[..end]), &[]).is_err(), "{end}");
        }
        for public in ["ssh-rsa AAAA", "ssh-ed25519", "ssh-ed25519 !", "ssh-ed25519 AAAA"] {
            assert!(CommitSigner::ssh(&SecretString::from(KEY), &[public.to_owned()]).is_err(), "{public}");
        }
    }
}
