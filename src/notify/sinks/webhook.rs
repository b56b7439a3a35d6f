//! A generic webhook: JSON, or the same as a CloudEvent 1.0 in structured mode; signed where a key is given.
//!
//! The signature is the HMAC-SHA256 of the body's bytes, in `X-Landfall-Signature-256: sha256=HEX`, as GitHub signs its own.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::Delivery;
use crate::http::SecretUrl;
use crate::notify::client::{Failure, FailureKind, SinkClient, address, login_secrets, with_login};
use crate::notify::settings::{Login, WebhookFormat, WebhookSettings};

/// Where events come from (CloudEvents `source`, a URI reference).
const SOURCE: &str = "/landfall";

#[derive(Debug)]
pub(crate) struct Webhook {
    client: SinkClient,
    url: SecretUrl,
    format: WebhookFormat,
    login: Option<Login>,
    signing_key: Option<SecretString>,
}

impl Webhook {
    pub(super) fn new(settings: &WebhookSettings, ca: Option<&[u8]>, timeout: Duration) -> Result<Self, Failure> {
        let mut secrets = login_secrets(settings.login.as_ref());
        secrets.push(settings.url.clone());
        secrets.extend(settings.signing_key.clone());
        Ok(Self {
            client: SinkClient::new(ca, timeout, secrets)?,
            url: SecretUrl(address(settings.url.expose_secret())?),
            format: settings.format,
            login: settings.login.clone(),
            signing_key: settings.signing_key.clone(),
        })
    }

    pub(super) async fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), Failure> {
        let (body, content_type) = match self.format {
            WebhookFormat::Json => (data(delivery)?, "application/json"),
            WebhookFormat::CloudEvents => {
                (cloud_event(delivery, &data(delivery)?), "application/cloudevents+json; charset=utf-8")
            }
        };
        let body = body.to_string().into_bytes();
        let mut request = self.client.http().post(self.url.0.clone()).header(CONTENT_TYPE, content_type);
        if let Some(key) = &self.signing_key {
            request = request.header("X-Landfall-Signature-256", signature(key, &body));
        }
        let request = with_login(request, self.login.as_ref()).body(body);
        self.client.send(request).await.map(drop)
    }
}

/// The event's type, as `landfall.incident.raised`.
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
        // Unique with `source`: repeated only where the same event is sent again.
        "id": format!("{}/{}/{}", delivery.id, notice.kind.as_str(), notice.at),
        "source": SOURCE,
        "type": event_type(delivery),
        "subject": place.into_iter().flatten().collect::<Vec<_>>().join("/"),
        "time": notice.at.to_string(),
        "datacontenttype": "application/json",
        "data": data,
    })
}

fn signature(key: &SecretString, body: &[u8]) -> String {
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
