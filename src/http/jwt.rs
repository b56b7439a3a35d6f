//! Signed statements (JWT, RFC 7519) with RS256, as clouds and forges take them in exchange for a token.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// A private RSA key.
pub struct StatementKey(KeyPair);

impl fmt::Debug for StatementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatementKey")
    }
}

impl StatementKey {
    /// Reads a key in PEM format, PKCS #8 or PKCS #1; `None` if it is no RSA key.
    #[must_use]
    pub fn from_pem(text: &SecretString) -> Option<Self> {
        let key = match PrivateKeyDer::from_pem_slice(text.expose_secret().as_bytes()).ok()? {
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            _ => return None,
        };
        key.ok().map(Self)
    }

    /// Signs the claims; `key_id` names the key where several are known. `None` if the key cannot sign, as it is too short.
    #[must_use]
    pub fn sign(&self, key_id: Option<&str>, claims: &Value) -> Option<SecretString> {
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(key_id) = key_id {
            header["kid"] = key_id.into();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}
