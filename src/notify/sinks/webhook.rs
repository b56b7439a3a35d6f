//! A generic webhook: JSON, or the same as a CloudEvent 1.0 in structured mode; signed if a key is given.
//!
//! The signature is the HMAC-SHA256 of the body, in `X-Landfall-Signature-256: sha256=HEX`, like GitHub's signatures.

use http::header::CONTENT_TYPE;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Address, CredentialSource, Credentials, Secret, SecretSource};
use crate::http::SecretUrl;
use crate::notify::client::{Failure, FailureKind, Login, SinkClient, address, login_secrets, with_login};
use crate::notify::memory::SinkMemory;
use crate::notify::opening::{Opening, secrets_of};

use super::{Delivered, Delivery, Receiver};

/// Where events come from (CloudEvents `source`, a URI reference).
const SOURCE: &str = "/landfall";

/// A webhook's keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebhookConfig {
    /// The URL, if it is not a secret.
    url: Option<At<String>>,
    /// The URL, if it is a secret.
    webhook_url: Option<At<Secret>>,
    /// How to log in, as `username` and `password`, or `token`.
    credentials: Option<At<Credentials>>,
    /// The key for signing bodies (HMAC-SHA256).
    signing_key: Option<At<Secret>>,
}

impl WebhookConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<WebhookSettings> {
        self.check_as(Format::Json, at, check)
    }

    pub(super) fn check_as(&self, format: Format, at: Mark, check: &mut Check<'_, '_>) -> Option<WebhookSettings> {
        let url = check.address(at, self.url.as_ref(), self.webhook_url.as_ref());
        let login = check.login(self.credentials.as_ref(), "a receiver");
        let signing_key = self.signing_key.as_ref().and_then(|at| check.secret(at));
        Some(WebhookSettings { url: url?, format, login, signing_key })
    }
}

/// An HTTP address that notices are posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    url: Address,
    format: Format,
    login: Option<CredentialSource>,
    signing_key: Option<SecretSource>,
}

/// The format of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The notice and its sentences.
    Json,
    /// The same as the data of a CloudEvent 1.0, structured mode.
    CloudEvents,
}

#[derive(Debug)]
pub(crate) struct WebhookSink {
    client: SinkClient,
    url: SecretUrl,
    format: Format,
    login: Option<Login>,
    signing_key: Option<SecretString>,
}

impl Receiver for WebhookSink {
    type Settings = WebhookSettings;

    fn secrets(settings: &WebhookSettings) -> Vec<(&'static str, &SecretSource)> {
        let mut secrets = secrets_of(Some(&settings.url), settings.login.as_ref());
        secrets.extend(settings.signing_key.as_ref().map(|key| ("signing key", key)));
        secrets
    }

    fn open(settings: &WebhookSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let url = opening.address(&settings.url)?;
        let login = opening.login(settings.login.as_ref())?;
        let signing_key = settings.signing_key.as_ref().map(|key| opening.secret(key)).transpose()?;
        let mut secrets = login_secrets(login.as_ref());
        secrets.push(url.clone());
        secrets.extend(signing_key.clone());
        Ok(Self {
            client: SinkClient::new(opening.ca_pem, opening.timeout, secrets)?,
            url: SecretUrl(address(url.expose_secret())?),
            format: settings.format,
            login,
            signing_key,
        })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, _: &mut SinkMemory) -> Delivered {
        let (body, content_type) = match self.format {
            Format::Json => (data(delivery)?, "application/json"),
            Format::CloudEvents => {
                (cloud_event(delivery, &data(delivery)?), "application/cloudevents+json; charset=utf-8")
            }
        };
        let body = body.to_string().into_bytes();
        let mut request = self.client.http().post(self.url.0.clone()).header(CONTENT_TYPE, content_type);
        if let Some(key) = &self.signing_key {
            request = request.header("X-Landfall-Signature-256", signature(key, &body));
        }
        let request = with_login(request, self.login.as_ref()).body(body);
        self.client.send(request).await.map(|_| None)
    }
}

/// The event's type, e.g. `landfall.incident.raised`.
fn event_type(delivery: &Delivery<'_>) -> String {
    format!("landfall.incident.{}", delivery.notice.kind.as_str())
}

fn data(delivery: &Delivery<'_>) -> Result<Value, Failure> {
    let mut data = serde_json::to_value(delivery.notice).map_err(|error| {
        Failure::new(FailureKind::Rejected, format!("the notice cannot be written as JSON: {error}"))
    })?;
    if let Value::Object(fields) = &mut data {
        fields.insert("version".to_owned(), json!(1));
        fields.insert("id".to_owned(), json!(delivery.id));
        fields.insert("title".to_owned(), json!(delivery.texts.title));
        fields.insert("text".to_owned(), json!(delivery.texts.plain));
        fields.insert("durationSeconds".to_owned(), json!(delivery.notice.duration(delivery.now).as_secs()));
    }
    Ok(data)
}

fn cloud_event(delivery: &Delivery<'_>, data: &Value) -> Value {
    let notice = delivery.notice;
    let key = &notice.incident.key;
    let place = [key.environment.as_deref(), key.cluster.as_deref(), Some(&key.app)];
    json!({
        "specversion": "1.0",
        // Unique together with `source`: repeated only if the same event is sent again.
        "id": format!("{}/{}/{}", delivery.id, notice.kind.as_str(), notice.at),
        "source": SOURCE,
        "type": event_type(delivery),
        "subject": place.into_iter().flatten().collect::<Vec<_>>().join("/"),
        "time": notice.at.to_string(),
        "datacontenttype": "application/json",
        "data": data,
    })
}

pub(super) fn signature(key: &SecretString, body: &[u8]) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.expose_secret().as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, body);
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, b| format!("{text}{b:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        // Test case 2.
        assert_eq!(
            signature(&"Jefe".into(), b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
