//! The keys of a sender in the configuration, and how they are checked.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::at::At;
use crate::document::check::{Check, optional};
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::document::value;

/// Google's keys for OIDC tokens.
const GOOGLE_KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";

/// What the senders of one source prove themselves by, with secrets not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderProof {
    /// A secret that both sides have.
    Secret(SecretSource),
    /// A token that an issuer has signed.
    Token {
        /// Whom it must be made for.
        audience: String,
        /// The service account that it must be about.
        email: String,
        /// Where the issuer's public keys are.
        keys: String,
    },
}

impl SenderProof {
    /// The sources of its secrets, each with a description.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretSource> {
        match self {
            Self::Secret(source) => Some(source),
            Self::Token { .. } => None,
        }
    }
}

/// Keys of a kind of sender.
pub(super) trait SourceKeys {
    /// What they mean.
    fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<SenderProof>;
}

/// A sender that has a secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretKeys {
    /// The secret that the sender signs with or sends along.
    secret: At<Secret>,
}

impl SourceKeys for SecretKeys {
    fn check(&self, _: Mark, check: &mut Check<'_, '_>) -> Option<SenderProof> {
        check.secret(&self.secret).map(SenderProof::Secret)
    }
}

/// A Pub/Sub push subscription with authentication.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TokenKeys {
    /// The audience of the push subscription.
    audience: At<String>,
    /// The service account of the push subscription, as an e-mail address.
    email: At<String>,
    /// Where the public keys are that the tokens are signed with; default: Google's.
    keys_url: Option<At<String>>,
}

impl SourceKeys for TokenKeys {
    fn check(&self, _: Mark, check: &mut Check<'_, '_>) -> Option<SenderProof> {
        let audience = check.text(&self.audience, value::line);
        let email = check.text(&self.email, value::line);
        let keys = optional(self.keys_url.as_ref(), |at| check.text(at, keys_url))?;
        Some(SenderProof::Token {
            audience: audience?,
            email: email?,
            keys: keys.unwrap_or_else(|| GOOGLE_KEYS.to_owned()),
        })
    }
}

/// Where public keys may be read: over TLS, or on this machine. Whoever could change them on the way could sign tokens.
fn keys_url(text: &str) -> Result<String, String> {
    let address = value::http_url(text)?;
    let url = url::Url::parse(&address).map_err(|error| error.to_string())?;
    let here = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() == "https" || here {
        true => Ok(address),
        false => {
            Err("`keysUrl` must begin with https://: whoever can change the keys on the way can sign tokens".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for (text, good) in [
            (GOOGLE_KEYS, true),
            ("http://127.0.0.1:8080/certs", true),
            ("http://[::1]/certs", true),
            ("http://localhost:1/certs", true),
            ("http://keys.example/certs", false),
            ("http://10.0.0.7/certs", false),
            ("http://localhost.example/certs", false),
        ] {
            assert_eq!(keys_url(text).is_ok(), good, "{text}");
        }
    }
}
