//! A GitHub App from a manifest: what GitHub is told of the app that a person is about to create, and what it gives for the code
//! that it sends back.
//!
//! Source: GitHub's "Registering a GitHub App from a manifest". The code is good for one exchange, within an hour; the answer has
//! the private key, which GitHub shows only this once. Neither is in any error.

use std::fmt;
use std::time::Duration;

use ::http::{Method, StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::addresses::{DEFAULT_API, api_of};
use crate::forge::hosted::{is_plain, split_address};
use crate::http::jwt::StatementKey;
use crate::http::{self, Broken, ClientError, ClientSettings, Secrets};

/// The largest answer that is read.
const BODY_LIMIT: u64 = 1 << 20;
/// What the bot does: commits, pull requests, what they are judged by, and what it says of landings.
const PERMISSIONS: [(&str, &str); 6] = [
    ("checks", "read"),
    ("contents", "write"),
    ("deployments", "write"),
    ("metadata", "read"),
    ("pull_requests", "write"),
    ("statuses", "write"),
];
/// What wakes the bot.
const EVENTS: [&str; 5] = ["check_run", "pull_request", "pull_request_review", "push", "status"];

/// A GitHub with its two addresses, and what is needed to reach it.
pub struct AppSite {
    /// Its web pages, without a slash at the end.
    site: String,
    origin: Url,
    prefix: String,
    client: reqwest::Client,
}

impl fmt::Debug for AppSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppSite").field("site", &self.site).finish_non_exhaustive()
    }
}

/// The app that is to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppManifest {
    /// Its name; the person may change it.
    pub name: String,
    /// The organization that is to own it; `None`: the person.
    pub organization: Option<String>,
    /// The page that its name leads to.
    pub homepage: String,
    /// Where GitHub sends the person, with the code.
    pub redirect: String,
    /// Where GitHub sends webhooks; `None`: nowhere.
    pub webhook: Option<String>,
}

/// The app that was created. `Debug` shows no secret.
#[derive(Debug)]
pub struct NewApp {
    /// The App ID.
    pub id: u32,
    /// Its short name, as in addresses.
    pub slug: String,
    /// Its page.
    pub page: String,
    /// Whose it is: an account or organization.
    pub owner: String,
    /// The private key, in PEM format.
    pub private_key: SecretString,
    /// What webhooks are signed with, if it has any.
    pub webhook_secret: Option<SecretString>,
}

/// Why there is no app, for a person. No text has the code or a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// The address cannot be used.
    #[error("{0}")]
    Address(String),
    /// GitHub does not take the code: it is wrong, spent, or older than an hour.
    #[error(
        "GitHub does not take the code ({0}): it is good once, for an hour; next: start again, and delete the app that was created"
    )]
    Refused(String),
    /// Nothing came back, or a fault of GitHub's own; the same code may still be good.
    #[error("GitHub gave no answer for the code ({0}); next: load the page again")]
    Unavailable(String),
    /// What came back is not what GitHub describes.
    #[error(
        "GitHub's answer for the code is not an app ({0}); next: make a private key on the page of the app, or delete the app and start again"
    )]
    Nonsense(String),
}

#[derive(Deserialize)]
struct WireApp {
    id: u32,
    slug: String,
    html_url: String,
    owner: WireOwner,
    pem: SecretString,
    #[serde(default)]
    webhook_secret: Option<SecretString>,
}

#[derive(Deserialize)]
struct WireOwner {
    login: String,
}

#[derive(Deserialize)]
struct WireAccount {
    id: u64,
}

impl AppManifest {
    /// The manifest, as GitHub takes it.
    #[must_use]
    pub fn json(&self) -> Value {
        let permissions: serde_json::Map<String, Value> =
            PERMISSIONS.iter().map(|(name, level)| ((*name).to_owned(), json!(level))).collect();
        let mut manifest = json!({
            "name": self.name, "url": self.homepage, "redirect_url": self.redirect,
            "description": "Writes image updates into this repository and follows them until they run.",
            "public": false, "default_permissions": permissions,
        });
        if let Some(url) = &self.webhook {
            manifest["hook_attributes"] = json!({ "url": url, "active": true });
            manifest["default_events"] = json!(EVENTS);
        }
        manifest
    }
}

impl AppSite {
    /// A GitHub by the address of its web pages; connects to nothing.
    ///
    /// # Errors
    /// If the address or a certificate cannot be used.
    pub fn new(site: &str, ca_pem: Option<&[u8]>, timeout: Duration) -> Result<Self, AppError> {
        let site = site.trim_end_matches('/').to_owned();
        let api = api_of(&site);
        let bare = Url::parse(&site).is_ok_and(|url| url.path() == "/");
        let (origin, prefix) = split_address(&api, &super::DIALECT).ok().filter(|_| bare).ok_or_else(|| {
            AppError::Address(
                "this is not the address of GitHub's pages; next: write https://github.com or https://HOST".to_owned(),
            )
        })?;
        let local = matches!(origin.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if origin.scheme() == "http" && !local {
            return Err(AppError::Address(
                "the private key would come over plain HTTP; next: write https://".to_owned(),
            ));
        }
        let client = http::client(ClientSettings { ca_pem, timeout, ..ClientSettings::default() });
        Ok(Self {
            site,
            origin,
            prefix,
            client: client.map_err(|error| match error {
                ClientError::Certificates => {
                    AppError::Address("the file holds no certificate in PEM format; next: look at --ca-file".to_owned())
                }
                error => AppError::Address(error.to_string()),
            })?,
        })
    }

    /// Its API, if the configuration has to name it.
    #[must_use]
    pub fn api_url(&self) -> Option<String> {
        Some(api_of(&self.site)).filter(|api| api != DEFAULT_API)
    }

    /// Its web pages.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Where the form with a manifest is sent to.
    ///
    /// # Errors
    /// If the organization's name is none.
    pub fn form(&self, manifest: &AppManifest, state: &str) -> Result<String, AppError> {
        let owner = match &manifest.organization {
            None => String::new(),
            Some(name) if is_plain(name) => format!("/organizations/{name}"),
            Some(_) => {
                return Err(AppError::Address(
                    "no organization has this name; next: write it as in https://github.com/ORG".to_owned(),
                ));
            }
        };
        Ok(format!("{}{owner}/settings/apps/new?state={state}", self.site))
    }

    /// The app, for the code that GitHub has sent. Asked only once for each code, unless it may not have arrived.
    ///
    /// # Errors
    /// If there is none.
    pub async fn exchange(&self, code: &str) -> Result<NewApp, AppError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if code.is_empty() || code.len() > 200 || !code.bytes().all(plain) {
            return Err(AppError::Refused("it is none".to_owned()));
        }
        let app: WireApp = self.ask(Method::POST, &format!("app-manifests/{code}/conversions"), code).await?;
        let nonsense = |what: &str| AppError::Nonsense(what.to_owned());
        if !is_plain(&app.slug) || !is_plain(&app.owner.login) {
            return Err(nonsense("its name or owner is none"));
        }
        // It is shown as a link to open.
        if !app.html_url.starts_with(&format!("{}/", self.site)) || app.html_url.bytes().any(|b| !b.is_ascii_graphic())
        {
            return Err(nonsense("its page is on another host"));
        }
        if StatementKey::from_pem(&app.pem).is_none() {
            return Err(nonsense("its private key is no RSA key in PEM format"));
        }
        let WireApp { id, slug, html_url: page, owner: WireOwner { login: owner }, pem, webhook_secret } = app;
        Ok(NewApp { id, slug, page, owner, private_key: pem, webhook_secret })
    }

    /// The address that GitHub gives to commits of an app; `None` if it does not say.
    pub async fn address_of(&self, app: &NewApp) -> Option<String> {
        let asked = self.ask::<WireAccount>(Method::GET, &format!("users/{}%5Bbot%5D", app.slug), "").await;
        let id = asked.ok()?.id;
        let host = Url::parse(&self.site).ok()?.host_str()?.to_owned();
        Some(format!("{id}+{}[bot]@users.noreply.{host}", app.slug))
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, secret: &str) -> Result<T, AppError> {
        let secrets = Secrets::new(vec![SecretString::from(secret)]);
        let url = self.origin.join(&format!("{}/{path}", self.prefix));
        let url = url.map_err(|_| AppError::Address("the address cannot be built".to_owned()))?;
        let request = self.client.request(method, url).header(header::ACCEPT, "application/vnd.github+json");
        let broken = |Broken { text, .. }: Broken| AppError::Unavailable(secrets.clean(&text, 300));
        let response = http::send(request.header("X-GitHub-Api-Version", "2022-11-28")).await.map_err(broken)?;
        let status = response.status();
        let body = match status.is_success() {
            true => http::read(response, BODY_LIMIT).await.map_err(broken)?,
            false => http::read_error(response).await,
        };
        if status.is_success() {
            // The error of the parser could repeat a part of the answer.
            return serde_json::from_slice(&body).map_err(|_| AppError::Nonsense("it has another shape".to_owned()));
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = secrets.clean(said["message"].as_str().unwrap_or_default(), 300);
        let text = format!("it answered {}: {said}", status.as_u16());
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::FORBIDDEN => AppError::Unavailable(text),
            status if status.is_server_error() => AppError::Unavailable(text),
            _ => AppError::Refused(text),
        })
    }
}
