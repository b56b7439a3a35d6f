//! Signatures by SSH keys, as `git commit -S` with `gpg.format=ssh` makes them and `git verify-commit` checks them.
//!
//! Made in the process, so that no program has to be there and the key is in no file of ours. Sources: PROTOCOL.key (the private key) and
//! PROTOCOL.sshsig (the signature) of OpenSSH. Ed25519 alone: its signatures are deterministic, and so a commit that is made twice is
//! the same commit.

use aws_lc_rs::digest::{self, SHA512};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::KeyError;

/// What a private key begins with, after the armour.
const PRIVATE: &[u8] = b"openssh-key-v1\0";
/// What a signature, and what is signed, begins with.
const SIGNATURE: &[u8] = b"SSHSIG";
const KIND: &[u8] = b"ssh-ed25519";
/// What Git's signatures are for.
const NAMESPACE: &[u8] = b"git";
const HASH: &[u8] = b"sha512";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// The length of an armoured line, as ssh-keygen writes it.
const LINE: usize = 70;

/// An SSH key, and those that the bot had before.
pub(super) struct SshSigner {
    pair: Ed25519KeyPair,
    former: Vec<Vec<u8>>,
}

impl SshSigner {
    /// Reads a private key, and the public keys (`ssh-ed25519 AAAA…`) that it took the place of.
    ///
    /// # Errors
    /// When it is not an Ed25519 key of OpenSSH without a passphrase, or a public key is none.
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
        if private.string()? != KIND {
            return Err(KeyError::Kind);
        }
        let (public, secret) = (private.string()?, private.string()?);
        let seed = secret.get(..32).ok_or(KeyError::Format)?;
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| KeyError::Format)?;
        let former = former.iter().map(|text| public_key(text)).collect::<Result<_, _>>()?;
        Ok(Self { pair, former })
    }

    /// The public key, as it stands in `allowed_signers` and as forges take it.
    pub(super) fn public_key(&self) -> String {
        format!("ssh-ed25519 {}", STANDARD.encode(blob(self.pair.public_key().as_ref())))
    }

    /// The keys whose signatures count, in one line.
    pub(super) fn accepted_keys(&self) -> String {
        let mut former: Vec<String> = self.former.iter().map(|key| STANDARD.encode(key)).collect();
        former.sort_unstable();
        format!("{} {}", self.public_key(), former.join(" "))
    }

    /// The signature of a commit's bytes, as its header `gpgsig` has it.
    pub(super) fn sign(&self, commit: &[u8]) -> String {
        let signature = self.pair.sign(&signed(commit));
        let mut packed = SIGNATURE.to_vec();
        packed.extend(1_u32.to_be_bytes());
        for part in [&blob(self.pair.public_key().as_ref())[..], NAMESPACE, b"", HASH] {
            string(&mut packed, part);
        }
        let mut made = Vec::new();
        string(&mut made, KIND);
        string(&mut made, signature.as_ref());
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
        let own = self.pair.public_key().as_ref();
        let keys = std::iter::once(own).chain(self.former.iter().map(Vec::as_slice));
        let Some((key, signature)) = read(armoured) else { return false };
        let is_ours = keys.into_iter().any(|known| known == key);
        is_ours && UnparsedPublicKey::new(&ED25519, &key).verify(&signed(commit), &signature).is_ok()
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

/// The public key and the signature in an armoured text.
fn read(armoured: &str) -> Option<(Vec<u8>, Vec<u8>)> {
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
    (signature.string().ok()? == KIND).then_some(())?;
    Some((ed25519(key)?, signature.string().ok()?.to_vec()))
}

fn public_key(text: &str) -> Result<Vec<u8>, KeyError> {
    let packed = text.trim().strip_prefix("ssh-ed25519 ").and_then(|rest| rest.split_whitespace().next());
    let bytes = packed.and_then(|packed| STANDARD.decode(packed).ok());
    bytes.as_deref().and_then(ed25519).ok_or(KeyError::Public)
}

/// The 32 bytes of a public key in SSH's format.
fn ed25519(blob: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Reader(blob);
    (rest.string().ok()? == KIND).then_some(())?;
    rest.string().ok().filter(|key| key.len() == 32).map(<[u8]>::to_vec)
}

fn blob(key: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    string(&mut blob, KIND);
    string(&mut blob, key);
    blob
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
        let other = || Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let new = |former| CommitSigner(Kind::Ssh(SshSigner { pair: other(), former }));
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
