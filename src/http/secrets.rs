//! What must not be repeated if a server echoes it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};
use url::Url;

use crate::model::one_line;

/// The minimum length of a part of a secret URL that is treated as a secret.
const SECRET_PART: usize = 6;

/// Secrets that were sent somewhere and might come back in an error.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    /// A set of these secrets.
    #[must_use]
    pub fn new(secrets: Vec<SecretString>) -> Self {
        Self(secrets)
    }

    /// A server's message as part of one line of at most `most` characters, without control characters or secrets.
    #[must_use]
    pub fn clean(&self, text: &str, most: usize) -> String {
        let mut text = text.to_owned();
        for secret in self.0.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***");
            let Ok(url) = Url::parse(secret) else { continue };
            // Any part of a URL may be the secret one, except for common words such as `v1`.
            let path = url.path().split('/').map(str::to_owned);
            for part in path.chain(url.query_pairs().map(|(_, value)| value.into_owned())) {
                if part.len() >= SECRET_PART {
                    text = text.replace(&part, "***");
                }
            }
        }
        one_line(&text, most)
    }
}

/// Whether a text is a token: there is something of it, and all of it can be sent.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A token in a service's answer; services in trouble answer 200 with something else.
///
/// # Errors
/// If it is none.
pub(crate) fn token<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    let token = SecretString::deserialize(from)?;
    if is_token(token.expose_secret()) { Ok(token) } else { Err(D::Error::custom("this is not a token")) }
}

/// A URL that does not print.
#[derive(Clone)]
pub struct SecretUrl(pub Url);

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretUrl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_sent_is_a_token() {
        #[derive(serde::Deserialize)]
        struct Answer {
            #[serde(deserialize_with = "token")]
            token: SecretString,
        }
        let read = |text: &str| serde_json::from_str::<Answer>(text).map(|it| it.token.expose_secret().to_owned());
        assert_eq!(read(r#"{"token":"a.b-c_d/e+f=="}"#).unwrap(), "a.b-c_d/e+f==");
        for none in [
            "{}",
            "null",
            "[]",
            r#"{"token":null}"#,
            r#"{"token":7}"#,
            r#"{"token":""}"#,
            r#"{"token":"hunter2 x"}"#,
            r#"{"token":"hunter2\r\nx: y"}"#,
            r#"{"token":"hunter2é"}"#,
            "<html>hunter2</html>",
            "",
        ] {
            let error = read(none).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{none}: {error}");
        }
    }

    #[test]
    fn foreign_text_is_made_safe() {
        let secrets = Secrets::new(vec!["tok3n".into(), "https://hooks.example.com/services/T0/B0/s3cret".into()]);
        for (text, expected) in [
            ("Not Found", "Not Found"),
            ("a\r\nSet-Cookie: x\u{1b}[31m", "a Set-Cookie: x [31m"),
            ("\u{202e}evil\u{200b}  text ", "evil text"),
            ("Bearer tok3n and tok3n", "Bearer *** and ***"),
            // What a control character cut in two is not put together again.
            ("tok\u{200b}3n", "tok 3n"),
            ("at https://hooks.example.com/services/T0/B0/s3cret", "at ***"),
            ("nor /***/T0/B0/s3cret", "nor /***/T0/B0/***"),
        ] {
            assert_eq!(secrets.clean(text, 600), expected);
        }
        assert_eq!(secrets.clean(&"é".repeat(1000), 600).chars().count(), 601);
        assert!(!format!("{secrets:?}").contains("tok3n"));
        assert_eq!(Secrets::default().clean("abc", 9), "abc");
    }
}
