//! AWS Signature Version 4 for one kind of request: POST with headers and a small body.
//!
//! Source: "Create a signed AWS API request" of the IAM user guide.

use std::fmt::Write as _;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hmac;
use http::HeaderValue;
use http::header::{AUTHORIZATION, HOST, HeaderName};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::{Client, RequestBuilder};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::registry::host::Failure;

use super::identity::SigningKey;

/// What a request is signed with.
pub(super) struct Signing<'a> {
    pub(super) key: &'a SigningKey,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: Timestamp,
}

impl Signing<'_> {
    /// A signed request.
    pub(super) fn post(
        &self,
        client: &Client,
        url: &Url,
        headers: &[(HeaderName, &str)],
        body: &'static str,
    ) -> Result<RequestBuilder, Failure> {
        let (date, authorization) = self.authorization(url, headers, body);
        let mut request = client.post(url.clone()).body(body).header("x-amz-date", date);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let secret = |value: &str| {
            let value = HeaderValue::from_str(value)
                .map_err(|_| Failure::protocol("the AWS key has characters that cannot be sent"));
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        };
        if let Some(token) = &self.key.token {
            request = request.header("x-amz-security-token", secret(token.expose_secret())?);
        }
        Ok(request.header(AUTHORIZATION, secret(&authorization)?))
    }

    /// The date and the `Authorization` of a request.
    fn authorization(&self, url: &Url, headers: &[(HeaderName, &str)], body: &str) -> (String, String) {
        let date = self.now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = date.split('T').next().unwrap_or_default();
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let mut signed: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        signed.extend([(HOST.as_str(), host.as_str()), ("x-amz-date", &date)]);
        if let Some(token) = &self.key.token {
            signed.push(("x-amz-security-token", token.expose_secret()));
        }
        signed.sort_unstable();
        let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let canonical_headers = signed.iter().fold(String::new(), |mut text, (name, value)| {
            let _written = writeln!(text, "{name}:{}", value.trim());
            text
        });
        let canonical = format!(
            "POST\n{}\n\n{canonical_headers}\n{names}\n{}",
            url.path(),
            hex(digest::digest(&SHA256, body.as_bytes()).as_ref())
        );
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hashed = hex(digest::digest(&SHA256, canonical.as_bytes()).as_ref());
        let signature = hex(&self.sign(day, &format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}")));
        let id = self.key.id.expose_secret();
        (date, format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"))
    }

    fn sign(&self, day: &str, text: &str) -> Vec<u8> {
        let mut key = format!("AWS4{}", self.key.secret.expose_secret()).into_bytes();
        for part in [day, self.region, self.service, "aws4_request", text] {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
        }
        key
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The case `post-vanilla` of the test suite that AWS published for Signature Version 4.
    #[test]
    fn a_request_is_signed_as_aws_signs_it() {
        let key = SigningKey {
            id: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            token: None,
        };
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        let signing = Signing { key: &key, region: "us-east-1", service: "service", now };
        let (date, authorization) =
            signing.authorization(&Url::parse("https://example.amazonaws.com/").unwrap(), &[], "");
        assert_eq!(date, "20150830T123600Z");
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }
}
