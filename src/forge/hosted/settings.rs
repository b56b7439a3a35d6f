//! The address of a forge and the token for it, checked before anything is sent.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::dialect::Dialect;

/// The token without the trailing line feed that files usually have.
pub(super) fn token(given: &SecretString) -> Result<SecretString, String> {
    let token = given.expose_secret().trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the token is empty or has characters that no token has; next: check its source".to_owned());
    }
    Ok(SecretString::from(token))
}

/// Origin and path prefix of the API's address.
pub(in crate::forge) fn split_address(text: &str, dialect: &Dialect) -> Result<(Url, String), String> {
    let wrong = |why: &str| format!("the forge's address {why}; next: write {}", dialect.address);
    let mut url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(wrong("is not an http(s) URL"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a user, query or fragment"));
    }
    let prefix = url.path().trim_end_matches('/').to_owned();
    url.set_path("/");
    Ok((url, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::github::DIALECT;

    #[test]
    fn addresses_are_split() {
        for (text, origin, prefix) in [
            ("https://api.github.com", "https://api.github.com/", ""),
            ("https://git.example.com/api/v3/", "https://git.example.com/", "/api/v3"),
            ("http://127.0.0.1:80/x", "http://127.0.0.1/", "/x"),
        ] {
            let (url, path) = split_address(text, &DIALECT).unwrap();
            assert_eq!((url.as_str(), path.as_str()), (origin, prefix));
        }
        for text in ["", "api.github.com", "ftp://x", "https://u:p@x", "https://x/?a", "https://x/#f", "file:///x"] {
            let message = split_address(text, &DIALECT).unwrap_err();
            assert!(message.contains("next:") && !message.contains("u:p"), "{message}");
        }
    }
}
