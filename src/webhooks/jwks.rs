//! The public keys of an issuer of tokens, fetched when they are needed and kept for a while.
//!
//! Promise: however many tokens with unknown keys arrive, the issuer is asked at most once in [`AGAIN`], by one
//! request at a time.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::http::{self, ClientSettings};

use super::jwt::{self, Keys};

/// How long keys are used: issuers publish new ones days before they sign with them.
const KEEP: Duration = Duration::from_secs(3600);
/// How soon the issuer may be asked again, whatever the answer was.
const AGAIN: Duration = Duration::from_secs(30);
/// Maximum time for one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Larger answers are no keys.
const LIMIT: u64 = 256 << 10;

/// An issuer's keys.
#[derive(Debug)]
pub(super) struct Issuer {
    client: Client,
    url: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Arc<Keys>,
    fetched: Option<Instant>,
    asked: Option<Instant>,
}

impl Issuer {
    /// An issuer that has not been asked yet.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let settings = ClientSettings { timeout: TIMEOUT, ..ClientSettings::default() };
        let client = http::client(settings).map_err(|error| error.to_string())?;
        Ok(Self { client, url: url.to_owned(), known: Mutex::default() })
    }

    /// The keys, with the one that is asked for if the issuer has it.
    pub(super) async fn keys(&self, wanted: &str) -> Arc<Keys> {
        let mut known = self.known.lock().await;
        let fresh = known.fetched.is_some_and(|at| at.elapsed() < KEEP) && known.keys.contains_key(wanted);
        if !fresh && known.asked.is_none_or(|at| at.elapsed() >= AGAIN) {
            known.asked = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => {
                    known.keys = Arc::new(keys);
                    known.fetched = known.asked;
                }
                Err(error) => tracing::warn!(
                    "the public keys for webhook tokens cannot be read, so that only known ones are accepted: {error}; \
                     next: look at `keysUrl` and whether the bot may reach it"
                ),
            }
        }
        Arc::clone(&known.keys)
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let answer = http::send(self.client.get(&self.url)).await.map_err(|broken| broken.text)?;
        if !answer.status().is_success() {
            return Err(format!("HTTP {}", answer.status().as_u16()));
        }
        let body = http::read(answer, LIMIT).await.map_err(|broken| broken.text)?;
        jwt::keys(&body).ok_or_else(|| "the answer is no set of RSA keys".to_owned())
    }
}
