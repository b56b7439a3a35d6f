//! The logins that the demo's registry can require.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::time::Instant;

/// The login that a registry requires.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// None.
    #[default]
    Open,
    /// A name and a password with each request.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A token from its own token service, which requires a name and a password, or nothing.
    Token {
        /// Name and password for the token service; `None`: anybody gets a token.
        login: Option<(String, SecretString)>,
        /// How long a token is valid.
        life: Duration,
    },
}

/// The tokens issued, with what each allows and until when.
#[derive(Debug, Default)]
pub(super) struct DemoTokens {
    issued: HashMap<String, (Vec<String>, Instant)>,
    count: u64,
}

/// Checks whether the request is allowed; if not, returns the answer with the challenge.
pub(super) fn check(
    auth: &Auth,
    tokens: &DemoTokens,
    host: &str,
    headers: &HeaderMap,
    repository: &str,
    push: bool,
) -> Result<(), Box<Response>> {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let challenge = match auth {
        Auth::Open => return Ok(()),
        Auth::Basic { username, password } if sent == basic(username, password) => return Ok(()),
        Auth::Basic { .. } => "Basic realm=\"registry\"".to_owned(),
        Auth::Token { .. } => {
            let scope = format!("repository:{repository}:{}", if push { "pull,push" } else { "pull" });
            let token = sent.strip_prefix("Bearer ").and_then(|token| tokens.issued.get(token));
            let allows = |scopes: &[String]| repository.is_empty() || scopes.iter().any(|have| allows(have, &scope));
            if token.is_some_and(|(scopes, until)| *until > Instant::now() && allows(scopes)) {
                return Ok(());
            }
            let bearer = format!("Bearer realm=\"http://{host}/token\",service=\"{host}\"");
            if repository.is_empty() { bearer } else { format!("{bearer},scope=\"{scope}\"") }
        }
    };
    let body = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authentication required" }] });
    let headers = [(header::WWW_AUTHENTICATE, challenge), (header::CONTENT_TYPE, "application/json".to_owned())];
    Err(Box::new((StatusCode::UNAUTHORIZED, headers, body.to_string()).into_response()))
}

/// The token service's answer.
pub(super) fn issue(auth: &Auth, tokens: &mut DemoTokens, headers: &HeaderMap, scopes: Vec<String>) -> Response {
    let Auth::Token { login, life } = auth else { return StatusCode::NOT_FOUND.into_response() };
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some((username, password)) = login
        && sent != basic(username, password)
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let now = Instant::now();
    tokens.issued.retain(|_, (_, until)| *until > now);
    tokens.count += 1;
    let token = format!("demo-token-{}", tokens.count);
    tokens.issued.insert(token.clone(), (scopes, now + *life));
    axum::Json(json!({ "token": token, "expires_in": life.as_secs() })).into_response()
}

fn allows(have: &str, want: &str) -> bool {
    let (Some((name, granted)), Some((wanted_name, wanted))) = (have.rsplit_once(':'), want.rsplit_once(':')) else {
        return false;
    };
    name == wanted_name && wanted.split(',').all(|action| granted.split(',').any(|granted| granted == action))
}

fn basic(username: &str, password: &SecretString) -> String {
    let pair = format!("{username}:{}", password.expose_secret());
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}
