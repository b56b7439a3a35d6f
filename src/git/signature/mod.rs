//! Signatures of commits by SSH and OpenPGP keys, made in the process: no program has to be there, and the key is in no file of ours
//! and in no argument.
//!
//! Ed25519 and RSA (PKCS #1 v1.5) alone: their signatures are deterministic, and so a commit that is made twice is the same commit. Those of
//! NIST's curves (ECDSA) are others each time.

mod pgp;
mod rsa;
mod ssh;

use std::fmt;

use secrecy::SecretString;

use pgp::PgpSigner;
use ssh::SshSigner;

/// Why a key cannot be used. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not in OpenSSH's format.
    #[error("it is not a private key in OpenSSH's format (-----BEGIN OPENSSH PRIVATE KEY-----)")]
    Format,
    /// It needs a passphrase.
    #[error("it is protected by a passphrase; give the bot a key without one")]
    Passphrase,
    /// It is of another kind.
    #[error("it is neither an Ed25519 key nor an RSA key of 2048 to 8192 bits; make one with `ssh-keygen -t ed25519`")]
    Kind,
    /// A public key that cannot be read.
    #[error("it is no public Ed25519 or RSA key (`ssh-ed25519 AAAA…`, `ssh-rsa AAAA…`)")]
    Public,
    /// It is not in OpenPGP's format.
    #[error(
        "it is not a private key in OpenPGP's format (-----BEGIN PGP PRIVATE KEY BLOCK-----, from `gpg --armor --export-secret-keys`)"
    )]
    PgpFormat,
    /// No key in it can sign.
    #[error(
        "it holds no Ed25519 key, nor an RSA key of 2048 to 8192 bits, that may sign; make one with `gpg --quick-gen-key 'Landfall <landfall@example.com>' ed25519 sign never`"
    )]
    PgpKind,
    /// A public OpenPGP key that cannot be read.
    #[error("it is no public Ed25519 or RSA key in OpenPGP's format (-----BEGIN PGP PUBLIC KEY BLOCK-----)")]
    PgpPublic,
}

/// Signs the bot's commits, and knows its own signatures. `Debug` shows no secret.
pub struct CommitSigner(Kind);

enum Kind {
    Ssh(SshSigner),
    Pgp(PgpSigner),
}

impl fmt::Debug for CommitSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitSigner({})", self.public_key())
    }
}

impl CommitSigner {
    /// Signs by a private Ed25519 or RSA key of OpenSSH. `former` are the public keys (`ssh-ed25519 AAAA…`) that it took the place of.
    ///
    /// # Errors
    /// When it is no such key, has a passphrase, or a public key is none.
    pub fn ssh(key: &SecretString, former: &[String]) -> Result<Self, KeyError> {
        SshSigner::new(key, former).map(Kind::Ssh).map(Self)
    }

    /// Signs by a private Ed25519 or RSA key of OpenPGP, in armour. `former` are the public keys that it took the place of, in armour.
    ///
    /// # Errors
    /// As [`CommitSigner::ssh`].
    pub fn pgp(key: &SecretString, former: &[String]) -> Result<Self, KeyError> {
        PgpSigner::new(key, former).map(Kind::Pgp).map(Self)
    }

    /// The public key as forges know it: `ssh-ed25519 AAAA…`, or the fingerprint of an OpenPGP key.
    #[must_use]
    pub fn public_key(&self) -> String {
        match &self.0 {
            Kind::Ssh(key) => key.public_key(),
            Kind::Pgp(key) => key.fingerprint(),
        }
    }

    /// The keys whose signatures count, in one line.
    pub(super) fn accepted_keys(&self) -> String {
        match &self.0 {
            Kind::Ssh(key) => key.accepted_keys(),
            Kind::Pgp(key) => key.accepted_keys(),
        }
    }

    /// The signature of a commit's bytes, as its header `gpgsig` has it.
    pub(super) fn sign(&self, commit: &[u8]) -> String {
        match &self.0 {
            Kind::Ssh(key) => key.sign(commit),
            Kind::Pgp(key) => key.sign(commit),
        }
    }

    /// Whether a commit carries a good signature of the bot's own key, or of one that it had before. `data` is the object as it is.
    pub(super) fn has_signed(&self, data: &[u8]) -> bool {
        let Some((commit, armoured)) = split(data) else { return false };
        match &self.0 {
            Kind::Ssh(key) => key.has_signed(&commit, &armoured),
            Kind::Pgp(key) => key.has_signed(&commit, &armoured),
        }
    }
}

/// A commit without its signature, and the signature.
fn split(data: &[u8]) -> Option<(Vec<u8>, String)> {
    const HEADER: &[u8] = b"gpgsig ";
    let end = data.windows(2).position(|two| two == b"\n\n")? + 1;
    let (mut commit, mut signature) = (Vec::with_capacity(data.len()), Vec::new());
    let (mut inside, mut found) = (false, 0);
    for line in data[..end].split_inclusive(|byte| *byte == b'\n') {
        inside = match line.strip_prefix(HEADER) {
            Some(first) => {
                signature.extend_from_slice(first);
                found += 1;
                true
            }
            None if inside && line.starts_with(b" ") => {
                signature.extend_from_slice(&line[1..]);
                true
            }
            None => {
                commit.extend_from_slice(line);
                false
            }
        };
    }
    commit.extend_from_slice(&data[end..]);
    (found == 1).then_some(())?;
    Some((commit, String::from_utf8(signature).ok()?))
}
