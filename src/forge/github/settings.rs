//! What is needed to reach a repository on GitHub, checked before anything is sent.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// What to connect to, and as whom.
#[derive(Debug, Clone)]
pub struct GitHubSettings {
    /// The REST API: `https://api.github.com`, or `https://HOST/api/v3` on an Enterprise Server.
    pub api_url: String,
    /// The repository's owner.
    pub owner: String,
    /// The repository's name.
    pub repository: String,
    /// A personal access token or an installation's token.
    pub token: SecretString,
    /// Certificates to trust besides the system's, in PEM format.
    pub ca_pem: Option<Vec<u8>>,
    /// The time limit of one request; an operation of several requests may take [`REQUESTS`](super::REQUESTS) times as
    /// long.
    pub timeout: Duration,
}

/// Refuses names that GitHub does not allow: they become parts of paths.
pub(super) fn check_names(settings: &GitHubSettings) -> Result<(), String> {
    for (what, name) in [("owner", &settings.owner), ("repository", &settings.repository)] {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 100 || matches!(name.as_str(), "." | "..") || !name.bytes().all(plain) {
            return Err(format!("the {what} is not a GitHub name; next: write `repository: owner/name`"));
        }
    }
    Ok(())
}

/// The token without the trailing line feed that files usually have.
pub(super) fn token(settings: &GitHubSettings) -> Result<SecretString, String> {
    let token = settings.token.expose_secret().trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the token is empty or has characters that no token has; next: check its source".to_owned());
    }
    Ok(SecretString::from(token))
}

/// Origin and path prefix of the API's address.
pub(super) fn split_address(text: &str) -> Result<(Url, String), String> {
    let wrong = |why: &str| format!("apiUrl {why}; next: write https://api.github.com or https://HOST/api/v3");
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

    #[test]
    fn addresses_are_split() {
        for (text, origin, prefix) in [
            ("https://api.github.com", "https://api.github.com/", ""),
            ("https://git.example.com/api/v3/", "https://git.example.com/", "/api/v3"),
            ("http://127.0.0.1:80/x", "http://127.0.0.1/", "/x"),
        ] {
            let (url, path) = split_address(text).unwrap();
            assert_eq!((url.as_str(), path.as_str()), (origin, prefix));
        }
        for text in ["", "api.github.com", "ftp://x", "https://u:p@x", "https://x/?a", "https://x/#f", "file:///x"] {
            let message = split_address(text).unwrap_err();
            assert!(message.contains("next:") && !message.contains("u:p"), "{message}");
        }
    }
}
