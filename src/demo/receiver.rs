//! The demo's receiver of alerts: a webhook on a loopback port, like a team's chat bot.
//!
//! Promise: it returns what came over the wire, in order of arrival.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::model::Notice;

use super::serve::{listen, serve};

/// Maximum number of unread notices; further senders are asked to retry.
const WAITING: usize = 1_000;

/// A notice as the webhook receives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Received {
    /// The notice.
    #[serde(flatten)]
    pub notice: Notice,
    /// Its title.
    pub title: String,
}

/// A running receiver; it stops when dropped.
#[derive(Debug)]
pub struct Receiver {
    url: String,
    inbox: Mutex<mpsc::Receiver<Received>>,
    stop: CancellationToken,
}

impl Receiver {
    /// Starts one on a free port of 127.0.0.1, in the running tokio runtime.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> std::io::Result<Self> {
        let (listener, address) = listen().await?;
        let url = format!("http://{address}/alerts");
        let (sender, inbox) = mpsc::channel(WAITING);
        let router = Router::new().route("/alerts", post(take)).with_state(sender);
        let stop = CancellationToken::new();
        serve(listener, router, "receiver", &stop);
        Ok(Self { url, inbox: Mutex::new(inbox), stop })
    }

    /// The address that notices are posted to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next notice, once it has arrived; `None` if the receiver has stopped.
    pub async fn next(&self) -> Option<Received> {
        self.inbox.lock().await.recv().await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn take(State(sender): State<mpsc::Sender<Received>>, body: Bytes) -> StatusCode {
    match serde_json::from_slice::<Received>(&body) {
        Err(error) => {
            tracing::warn!(%error, "the demo's receiver was sent something other than a notice");
            StatusCode::BAD_REQUEST
        }
        Ok(told) => match sender.try_send(told) {
            Ok(()) => StatusCode::NO_CONTENT,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        },
    }
}
