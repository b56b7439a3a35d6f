//! Pull secrets, read by name for the logins to registries. They are not watched: the bot may read the one that it is told of, and
//! needs no right to list others.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;

use super::client::ApiClient;
use super::fault::ApiFault;
use super::requests::document;
use super::settings::Settings;
use super::snapshot::Now;
use super::watch::within;

/// Why a pull secret cannot be used. No text quotes its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullSecretError {
    /// It is not there, may not be read, or is not a pull secret: a person has to do something.
    #[error("{0}")]
    Refused(String),
    /// The API server did not answer properly; it may the next time.
    #[error("{0}")]
    Unavailable(String),
}

/// Reads pull secrets of one cluster.
pub struct PullSecrets {
    settings: Settings,
    client: ApiClient,
}

#[derive(Deserialize)]
struct WireSecret {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    data: BTreeMap<String, SecretString>,
}

impl PullSecrets {
    /// Prepares the client; makes no connection.
    #[must_use]
    pub fn new(settings: Settings, now: Now) -> Self {
        Self { client: ApiClient::new(&settings, now), settings }
    }

    /// What a pull secret says, as the text of a Docker `config.json`. Both types of Kubernetes are known
    /// (`kubernetes.io/dockerconfigjson`, and `kubernetes.io/dockercfg`, which has the content of `auths` alone).
    ///
    /// # Errors
    /// When it cannot be read, with what to do.
    pub async fn read(&self, namespace: &str, name: &str) -> Result<SecretString, PullSecretError> {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        let read = async { document::<WireSecret>(&self.client.client().await?, &path).await };
        match within(self.settings.pace.request, read).await {
            Ok(secret) => content(&secret)
                .map_err(|reason| PullSecretError::Refused(format!("the secret {namespace}/{name} {reason}"))),
            Err(fault) => Err(self.failed(fault, namespace, name)),
        }
    }

    fn failed(&self, fault: ApiFault, namespace: &str, name: &str) -> PullSecretError {
        let what = format!("the secret {namespace}/{name} of cluster {}", self.settings.name);
        match fault {
            ApiFault::Missing => PullSecretError::Refused(format!("{what} does not exist")),
            ApiFault::Forbidden => PullSecretError::Refused(format!(
                "{what} may not be read; next: add this rule to a Role of the bot's account in {namespace}: {}",
                rule(name)
            )),
            ApiFault::Unauthorized(message) => {
                self.client.renew();
                PullSecretError::Unavailable(format!("{what} cannot be read: {message}"))
            }
            ApiFault::Failed { message, .. } => {
                PullSecretError::Unavailable(format!("{what} cannot be read: {message}"))
            }
            ApiFault::Expired => PullSecretError::Unavailable(format!("{what} cannot be read")),
        }
    }
}

/// The rule for one secret, in one line.
fn rule(name: &str) -> String {
    format!(r#"{{ apiGroups: [""], resources: [secrets], resourceNames: ["{name}"], verbs: [get] }}"#)
}

fn content(secret: &WireSecret) -> Result<SecretString, String> {
    use secrecy::ExposeSecret as _;

    let text = |key: &str| {
        let data = secret.data.get(key).ok_or_else(|| format!("has no `{key}`"))?;
        let bytes = STANDARD.decode(data.expose_secret()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        bytes.map(SecretString::from).ok_or_else(|| format!("has a `{key}` that is not text"))
    };
    match secret.kind.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => text(".dockerconfigjson"),
        Some("kubernetes.io/dockercfg") => {
            text(".dockercfg").map(|auths| format!("{{\"auths\":{}}}", auths.expose_secret()).into())
        }
        other => Err(format!(
            "is of the type {}, not a pull secret (kubernetes.io/dockerconfigjson)",
            crate::model::visible(other.unwrap_or("Opaque"))
        )),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    fn read(secret: serde_json::Value) -> Result<String, String> {
        content(&serde_json::from_value(secret).unwrap()).map(|text| text.expose_secret().to_owned())
    }

    #[test]
    fn both_types_are_read_and_others_are_told_apart() {
        let encoded = STANDARD.encode(r#"{"auths":{}}"#);
        let modern = json!({ "type": "kubernetes.io/dockerconfigjson", "data": { ".dockerconfigjson": encoded } });
        assert_eq!(read(modern).unwrap(), r#"{"auths":{}}"#);
        let old = json!({ "type": "kubernetes.io/dockercfg", "data": { ".dockercfg": STANDARD.encode("{}") } });
        assert_eq!(read(old).unwrap(), r#"{"auths":{}}"#);
        for (secret, reason) in [
            (json!({ "type": "Opaque", "data": { ".dockerconfigjson": encoded } }), "of the type Opaque"),
            (json!({ "type": "kubernetes.io/dockerconfigjson" }), "has no `.dockerconfigjson`"),
            (json!({ "type": "kubernetes.io/dockercfg", "data": { ".dockercfg": "hunter2!" } }), "that is not text"),
        ] {
            let error = read(secret).unwrap_err();
            assert!(error.contains(reason) && !error.contains("hunter2"), "{error}");
        }
    }
}
